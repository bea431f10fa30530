"""Runners that die, daemons that die, models that take turns, and what is left behind: nothing.

kill -9 of a runner under 64 streams in all dialects; of the daemon, whose runner must go with it; of
a runner as often as it starts. A runner that is stopped in its tracks. Two models in the place of
one. Draining on stop. The pages for Prometheus and for load balancers.
"""

import contextlib
import http.client
import json
import os
import signal
import threading
import time
from pathlib import Path

from harness import SOURCE, Glm, Hub, main, wait_until

QUESTION = {"messages": [{"role": "user", "content": "What is 17 + 25?"}]}
# Long, by hot sampling from the tiny model.
LONG_NATIVE = {"model": "tiny", "prompt": "x", "raw": True, "options": {"num_predict": 4000, "temperature": 2.0}}
LONG_OPENAI = {"model": "tiny", "messages": [{"role": "user", "content": "x"}], "stream": True, "max_tokens": 4000,
               "temperature": 2.0, "ignore_eos": True}


def models(glm: Glm) -> list:
    return json.loads(glm.api("GET", "/api/ps")[1])["models"]


def runner_pid(glm: Glm) -> int:
    return next((m["runner_pid"] for m in models(glm)), 0)


def runs(pid: int) -> bool:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    return False


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def children(pid: int) -> list:
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found += [int(child) for child in (task / "children").read_text().split()]
    return found


def answers(glm: Glm, model: str = "tiny") -> bool:
    status, body = glm.api("POST", "/api/chat", {"model": model, "stream": False, **QUESTION})
    assert status == 200, (status, body)
    return json.loads(body)["message"]["content"] == "42"


class Stream(threading.Thread):
    """A streaming request; keeps its last line and when it ended. With `enough`: until that is set, or one fails."""

    def __init__(self, glm: Glm, path: str, body: dict, enough: threading.Event | None = None):
        super().__init__(daemon=True)
        self.glm, self.path, self.body, self.enough = glm, path, body, enough
        self.begun = threading.Event()
        self.last, self.ended, self.error = "", 0.0, None
        self.start()

    def run(self) -> None:
        try:
            self.ask()
            while self.enough and not self.enough.is_set() and self.whole():
                self.ask()
        except (OSError, http.client.HTTPException) as error:
            self.error = error
        self.ended = time.monotonic()
        self.begun.set()

    def whole(self) -> bool:
        """Whether the last answer ended as its dialect ends one."""
        return self.last == "data: [DONE]" or bool(self.line().get("done"))

    def line(self) -> dict:
        return json.loads(self.last.removeprefix("data: "))

    def ask(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.glm.port, timeout=120)
        with contextlib.closing(connection):
            connection.request("POST", self.path, json.dumps(self.body), {"Content-Type": "application/json"})
            for line in connection.getresponse():
                if line.strip():
                    self.last = line.decode().strip()
                    self.begun.set()


def long_streams(glm: Glm, count: int, enough: threading.Event) -> list:
    dialects = [("/api/generate", LONG_NATIVE), ("/v1/chat/completions", LONG_OPENAI)]
    return [Stream(glm, *dialects[i % 2], enough) for i in range(count)]


def check_killed_runner(glm: Glm) -> None:
    """Every stream it ran ends with an error in its dialect within 2 s, the next request works, nothing leaks."""
    assert answers(glm)
    daemon = glm.daemon_pid()
    wait_until("the daemon is quiet", lambda: models(glm)[0]["requests"] == 0)
    before = descriptors(daemon)
    for round_ in range(2):
        enough = threading.Event()
        streams = long_streams(glm, 64, enough)
        wait_until("64 requests are here", lambda: models(glm)[0]["requests"] == 64, 60)
        wait_until("the engine runs them", lambda: models(glm)[0]["running"] > 1)
        victim = runner_pid(glm)
        enough.set()
        killed = time.monotonic()
        os.kill(victim, signal.SIGKILL)
        for stream in streams:
            stream.join(30)
            assert stream.error is None, stream.error
        # An answer may have ended before the kill, or been asked for by then and begun after it: few are whole.
        failed = [stream for stream in streams if not stream.whole()]
        assert len(failed) > len(streams) // 2, len(failed)
        late = max(stream.ended for stream in failed) - killed
        assert late < 2, f"the last stream ended {late:.2f} s after its runner"
        for stream in failed:
            line = stream.line()
            error = line["error"] if stream.path.startswith("/api") else line["error"]["message"]
            code = line["code"] if stream.path.startswith("/api") else line["error"]["code"]
            assert code == "device" and "ended unexpectedly (killed by signal 9" in error, stream.last
        began = time.monotonic()
        assert answers(glm)
        print(f"  round {round_}: {len(failed)} streams ended within {late * 1000:.0f} ms, the next answer took "
              f"{time.monotonic() - began:.2f} s")
        assert not runs(victim)
    assert glm.daemon_pid() == daemon
    wait_until("the descriptors are back", lambda: descriptors(daemon) <= before)
    assert children(daemon) == [runner_pid(glm)], (children(daemon), runner_pid(glm))


def check_stopped_process(glm: Glm) -> None:
    """A runner that is paused for a moment is waited for."""
    assert answers(glm)
    pid = runner_pid(glm)
    os.kill(pid, signal.SIGSTOP)
    time.sleep(2)
    os.kill(pid, signal.SIGCONT)
    assert answers(glm) and runner_pid(glm) == pid


def check_backoff(glm: Glm) -> None:
    """A runner that dies as often as it is started is not started as often as it is asked for."""
    refused = None
    for _ in range(8):
        status, body = glm.api("POST", "/api/generate", {"model": "tiny", "stream": False})
        if status == 503:
            refused = json.loads(body)
            break
        assert status == 200, body
        os.kill(runner_pid(glm), signal.SIGKILL)
        wait_until("its death is noticed", lambda: not models(glm))
    assert refused and refused["code"] == "unavailable", refused
    assert "in a row while loading or soon after (last: killed by signal 9" in refused["error"], refused
    print(f"  {refused['error']}")
    wait_until("it may be started again", lambda: glm.api("POST", "/api/generate", {"model": "tiny", "stream": False})[0] == 200)
    assert answers(glm)


def check_turns(glm: Glm) -> None:
    """Two models in the place of one: each waits for the other's end, and nothing stays behind."""
    limited = Glm(glm.program, glm.environment["HF_ENDPOINT"], GLM_MAX_LOADED_MODELS="1")
    try:
        for name in ("tiny", "tiny:int4"):
            limited.ok("pull", name)
        daemon = limited.daemon_pid()
        seen = set()
        for turn in range(6):
            assert answers(limited, "tiny" if turn % 2 == 0 else "tiny:int4")
            assert children(daemon) == [runner_pid(limited)]
            seen.add(runner_pid(limited))
        assert len(seen) == 6
        # One in use is waited for, not taken away.
        stream = Stream(limited, "/v1/chat/completions", {**LONG_OPENAI, "model": "tiny:int4", "max_tokens": 500})
        assert stream.begun.wait(20)
        assert answers(limited, "tiny")
        stream.join(60)
        assert stream.whole(), stream.last
    finally:
        limited.close()


def check_drain(glm: Glm) -> None:
    """`glm stop` lets the answer that runs finish and refuses others; so does the daemon's end."""
    body = {**LONG_OPENAI, "max_tokens": 1500, "stream_options": {"include_usage": True}}
    for command in (["stop", "tiny"], ["stop", "--all"]):
        assert answers(glm)
        daemon, runner = glm.daemon_pid(), runner_pid(glm)
        stream = Stream(glm, "/v1/chat/completions", body)
        assert stream.begun.wait(20)
        stop = glm.start(*command)
        assert not stream.ended
        refusals = []
        while stop.poll() is None:
            with contextlib.suppress(OSError):
                refusals.append(glm.api("POST", "/api/generate", {"model": "tiny", "stream": False}))
            time.sleep(0.02)
        assert stop.returncode == 0
        stream.join(60)
        assert stream.whole(), stream.last
        assert not runs(runner), "a stopped model has a runner"
        for status, answer in refusals:
            # Asked before the stop arrived, or after the model was gone.
            assert status == 200 or (status == 503 and b"stop" in answer), (status, answer)
        if command[-1] == "--all":
            assert not runs(daemon)
        refused = sum(status == 503 for status, _ in refusals)
        print(f"  {' '.join(command)}: waited for the answer that ran, {refused} others were refused")


def check_drain_of_prompts(glm: Glm) -> None:
    """Streams whose first token is not there yet when the daemon is told to end are whole, too."""
    glm.ok("list")  # starts a daemon
    assert answers(glm)
    daemon, runner = glm.daemon_pid(), runner_pid(glm)
    os.kill(runner, signal.SIGSTOP)  # no token until everything else has happened
    chat = {"model": "tiny", **QUESTION}
    streams = [Stream(glm, "/v1/chat/completions", {**chat, "stream": True}), Stream(glm, "/api/chat", chat),
               Stream(glm, "/v1/completions", {"model": "tiny", "prompt": "x", "stream": True})]
    run = glm.start("run", "tiny", "What is 17 + 25?")
    wait_until("they wait for tokens", lambda: models(glm)[0]["requests"] == len(streams) + 1)
    os.kill(daemon, signal.SIGTERM)

    def refused() -> bool:
        with contextlib.suppress(OSError):
            glm.api("GET", "/health")
            return False
        return True

    wait_until("nobody is let in", refused)
    os.kill(runner, signal.SIGCONT)
    for stream in streams:
        stream.join(60)
        assert stream.error is None, (stream.path, stream.error)
        assert stream.whole(), (stream.path, stream.last)
    assert run.wait(60) == 0
    wait_until("the daemon is gone", lambda: not runs(daemon))


def check_killed_daemon(glm: Glm) -> None:
    """The runner of a daemon that is killed ends, in the middle of its work."""
    glm.ok("list")  # starts a daemon
    assert answers(glm)
    streams = long_streams(glm, 4, threading.Event())
    wait_until("they run", lambda: models(glm)[0]["running"] >= 1)
    daemon, runner = glm.daemon_pid(), runner_pid(glm)
    os.kill(daemon, signal.SIGKILL)
    wait_until("the runner is gone", lambda: not runs(runner), 5)
    for stream in streams:
        stream.join(10)
        assert stream.ended
    glm.ok("list")
    assert answers(glm)


def check_pages(glm: Glm) -> None:
    def ready() -> tuple:
        status, body = glm.api("GET", "/ready")
        return status, {m["name"]: m["state"] for m in json.loads(body)["models"]}

    glm.ok("stop", "tiny")
    assert ready() == (503, {}), ready()
    assert glm.api("GET", "/health")[0] == 200
    assert answers(glm)
    assert ready() == (200, {"tiny:latest": "ready"}), ready()
    model = json.loads(glm.api("GET", "/v1/models/tiny")[1])
    assert model["id"] == "tiny:latest" and 0 <= time.time() - model["created"] < 3600, model
    # An answer calls its model what the request did.
    message = [{"role": "user", "content": "x"}]
    for name in ("tiny", "tiny:latest"):
        for path, body in (("/api/chat", {"messages": message}), ("/api/chat", {"messages": []}), ("/api/generate", {"prompt": "x"}),
                           ("/v1/chat/completions", {"messages": message}), ("/v1/completions", {"prompt": "x"})):
            body = {"model": name, "stream": False, "options": {"num_predict": 1}, **body}
            status, answer = glm.api("POST", path, body)
            assert status == 200 and json.loads(answer)["model"] == name, (path, answer)
    assert glm.api("GET", "/v1/models/nope")[0] == 404

    def metrics() -> dict:
        status, body = glm.api("GET", "/metrics")
        assert status == 200
        return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1])
                for line in body.decode().splitlines() if not line.startswith("#")}

    label = '{model_name="tiny:latest"}'
    wait_until("its last beat", lambda: metrics()["vllm:num_requests_running" + label] == 0)
    before = metrics()
    assert answers(glm)
    wait_until("the next beat", lambda: metrics()["vllm:generation_tokens_total" + label] >
               before["vllm:generation_tokens_total" + label])
    after = metrics()

    def grown(name: str) -> float:
        return after[name + label] - before[name + label]

    assert grown("vllm:time_to_first_token_seconds_count") == 1
    assert grown("vllm:e2e_request_latency_seconds_count") == 1
    assert grown("vllm:inter_token_latency_seconds_count") > 10
    assert grown("vllm:prompt_tokens_total") > 10
    ended = 'vllm:request_success_total{model_name="tiny:latest",finished_reason="stop"}'
    assert after[ended] - before[ended] == 1

    # A model that goes with its answer has told its counts.
    before = after
    body = {"model": "tiny", "stream": False, "keep_alive": 0, **QUESTION}
    answer = json.loads(glm.api("POST", "/api/chat", body)[1])
    wait_until("the model is gone", lambda: not models(glm))
    after = metrics()
    assert grown("vllm:generation_tokens_total") >= answer["eval_count"] > 0, (before, after)


def check_answers(glm: Glm) -> None:
    """`n`, `ignore_eos`, `min_tokens`, and prompts that are too long."""
    body = {"model": "tiny", **QUESTION, "n": 3, "temperature": 0}
    whole = json.loads(glm.api("POST", "/v1/chat/completions", body)[1])
    assert [c["index"] for c in whole["choices"]] == [0, 1, 2]
    assert {c["message"]["content"] for c in whole["choices"]} == {"42"}
    assert whole["usage"]["prompt_tokens_details"]["cached_tokens"] >= 0
    text, ends = ["", "", ""], [None] * 3
    for line in glm.api("POST", "/v1/chat/completions", {**body, "stream": True})[1].decode().splitlines():
        if line.startswith("data: {"):
            for choice in json.loads(line[6:])["choices"]:
                text[choice["index"]] += choice["delta"].get("content", "")
                ends[choice["index"]] = choice["finish_reason"] or ends[choice["index"]]
    assert text == ["42"] * 3 and ends == ["stop"] * 3, (text, ends)
    for n in (0, 17, -1):
        status, answer = glm.api("POST", "/v1/chat/completions", {**body, "n": n})
        assert status == 400 and b"from 1 to 16" in answer, answer
    on = {"model": "tiny", **QUESTION, "ignore_eos": True, "max_tokens": 100}
    whole = json.loads(glm.api("POST", "/v1/chat/completions", on)[1])
    assert whole["usage"]["completion_tokens"] == 100 and whole["choices"][0]["finish_reason"] == "length", whole
    least = {"model": "tiny", **QUESTION, "min_tokens": 80, "max_tokens": 90}
    whole = json.loads(glm.api("POST", "/v1/chat/completions", least)[1])
    assert 80 <= whole["usage"]["completion_tokens"] <= 90, whole
    status, answer = glm.api("POST", "/v1/chat/completions", {**least, "max_tokens": 70})
    assert status == 400 and b"at least 80 tokens are wanted, but at most 70" in answer, answer
    long = {"model": "tiny", "messages": [{"role": "user", "content": "word " * 5000}]}
    for path in ("/api/chat", "/v1/chat/completions"):
        status, answer = glm.api("POST", path, long)
        assert status == 400 and b"tokens, the context of tiny:latest holds" in answer, answer


def test(glm: Glm, hub: Hub) -> None:
    del hub
    glm.ok("pull", "tiny")
    check_answers(glm)
    check_pages(glm)
    check_killed_runner(glm)
    check_stopped_process(glm)
    check_backoff(glm)
    check_drain(glm)
    check_drain_of_prompts(glm)
    check_killed_daemon(glm)
    check_turns(glm)


if __name__ == "__main__":
    main(test, {"glm-org/glm-tiny": SOURCE / "models" / "glm-tiny"})
