"""What streaming over HTTP costs: tokens per second, and processor time per token of each process.

    python3 tests/bench/http_path.py build/cpu/bin/glm build/cpu/bin/fake_hub [streams,...]

The tiny model on the CPU under `glm bench --serve`: an answer per connection, an event per token.
Medians of three. Processor time hardly depends on what else the machine does; the rate does.
"""

import json
import os
import resource
import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))
from harness import Glm, Hub, main  # noqa: E402
from streams import ps, resident  # noqa: E402

INPUT, OUTPUT, ROUNDS = 16, 32, 3
TICKS = os.sysconf("SC_CLK_TCK")


def processor_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def client_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def streams(glm: Glm, count: int, requests: int, seed: int) -> float:
    line = glm.ok("bench", "--serve", f"127.0.0.1:{glm.port}", "tiny", "--concurrency", str(count), "--input-len",
                  str(INPUT), "--output-len", str(OUTPUT), "--num-prompts", str(requests), "--num-warmups", "0",
                  "--seed", str(seed), "--json", "-", timeout_s=600)
    return json.loads(line)["output_throughput"]


def measure(glm: Glm, count: int) -> None:
    requests = max(32, count)
    pids = {"daemon": glm.daemon_pid(), "runner": ps(glm)["runner_pid"]}
    rates, used = [], {name: [] for name in ("daemon", "runner", "client")}
    for round_ in range(ROUNDS):
        before = {name: processor_s(pid) for name, pid in pids.items()} | {"client": client_s()}
        rates.append(streams(glm, count, requests, 1000 * count + round_))
        after = {name: processor_s(pid) for name, pid in pids.items()} | {"client": client_s()}
        for name, list_ in used.items():
            list_.append((after[name] - before[name]) * 1e6 / (requests * OUTPUT))
    costs = " | ".join(f"{statistics.median(list_):.0f}" for list_ in used.values())
    memory = sum(resident(pid) for pid in pids.values()) >> 20
    print(f"| {count} | {statistics.median(rates):.0f} | {costs} | {memory} |", flush=True)


def test(glm: Glm, hub: Hub) -> None:
    del hub
    glm.ok("run", "tiny", "Hello")
    print("| streams | tok/s | daemon, us a token | runner | client | daemon and runner, MiB |\n|---|---|---|---|---|---|")
    for count in LEVELS:
        measure(glm, count)


if __name__ == "__main__":
    LEVELS = [int(n) for n in sys.argv[3].split(",")] if len(sys.argv) > 3 else [1, 8, 64, 500]
    main(test)
