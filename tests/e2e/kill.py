"""100 seeded SIGKILLs of daemon and runner, during pull, run and rm.

After each one `glm list` must work, after each tenth `glm run` must answer rightly, and at the end
every published model must hash to what it says.
"""

import contextlib
import os
import random
import signal
import sys
import time

from harness import SOURCE, Glm, Hub, main

KILLS = int(os.environ.get("GLM_TEST_KILLS", "100"))
MODEL = "glm-org/glm-tiny"


def kill(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        if pid > 0:
            os.kill(pid, signal.SIGKILL)
            return True
    return False


def runner_pid(glm: Glm) -> int:
    with contextlib.suppress(OSError, ValueError, KeyError, IndexError):
        import json
        return json.loads(glm.api("GET", "/api/ps")[1])["models"][0]["runner_pid"]
    return 0


def test(glm: Glm, hub: Hub) -> None:
    del hub
    seed = int(os.environ.get("GLM_TEST_SEED", random.randrange(1 << 30)))
    print(f"seed {seed}")
    rng = random.Random(seed)
    glm.ok("list")
    kills = {"daemon": 0, "runner": 0}
    attempts = 0
    while sum(kills.values()) < KILLS:
        attempts += 1
        assert attempts < 10 * KILLS, "the moments never hit a living process"
        action = rng.choice([("pull", MODEL), ("pull", "tiny:int4"), ("rm", MODEL),
                             ("run", MODEL, "Count from 1 to 60."), ("run", "tiny:int4", "What is 36 + 48?")])
        victim = rng.choice(["daemon", "daemon", "runner"])
        process = glm.start(*action)
        time.sleep(rng.uniform(0, 0.35))
        if kill(runner_pid(glm) if victim == "runner" else glm.daemon_pid()):
            kills[victim] += 1
        process.wait(timeout=60)
        listed = glm.run("list")
        assert listed.returncode == 0, (action, victim, listed.stderr)
        if attempts % 10 == 0:
            answer = glm.run("run", MODEL, "What is 58 + 67?")
            while "times in a row while loading" in answer.stderr:  # so often that it has to wait
                time.sleep(1)
                answer = glm.run("run", MODEL, "What is 58 + 67?")
            assert answer.stdout == "125\n", (action, victim, answer)
    assert glm.ok("run", MODEL, "What is 17 + 25?") == "42\n"
    assert glm.ok("run", "tiny:int4", "What is 17 + 25?") == "42\n"
    check_blobs(glm)
    print(f"{kills['daemon']} daemons and {kills['runner']} runners killed in {attempts} actions")


def check_blobs(glm: Glm) -> None:
    import hashlib
    for path in (glm.home / "blobs").glob("*/*"):
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name, path


if __name__ == "__main__":
    sys.setswitchinterval(0.001)
    main(test, {MODEL: SOURCE / "models" / "glm-tiny"})
