"""500 streaming connections at once on the tiny model: every one ends as it would alone.

All are open at the same time (the daemon counts them), all answers are whole, daemon and runner stay
under 1 GB together, and nothing is left open afterwards. Then `glm bench` as another client: the
counts it reports are those that were asked for.
"""

import json
import os
import selectors
import socket
import threading
import time
from pathlib import Path

from harness import Glm, Hub, main, wait_until

STREAMS = 500
MEMORY_MAX = 1 << 30
LONG = 16  # so many come first and have long answers, so that all others come meanwhile
PROMPTS = ["What is 17 + 25?", "Write stone backwards.", "Count from 1 to 9.", "x", "The sea", "7 8 9"]


def body(prompt: str, tokens: int) -> dict:
    return {"model": "tiny", "prompt": prompt, "max_tokens": tokens, "ignore_eos": True, "temperature": 0,
            "stream": True, "stream_options": {"include_usage": True}}


class Stream:
    """One request on a socket that is never waited for."""

    def __init__(self, port: int, prompt: str, tokens: int):
        self.prompt, self.tokens = prompt, tokens
        data = json.dumps(body(prompt, tokens)).encode()
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                            b"Content-Length: %d\r\n\r\n" % len(data) + data)
        self.socket.setblocking(False)
        self.received = b""

    def read(self) -> bool:
        """False at the end."""
        got = self.socket.recv(1 << 16)
        self.received += got
        if not got:
            self.socket.close()
        return bool(got)

    def text(self) -> str:
        """What it said, after checking that it is complete."""
        head, _, chunks = self.received.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 "), self.received[:500]
        payload = b""
        while True:
            size, _, chunks = chunks.partition(b"\r\n")
            count = int(size, 16)
            if count == 0:
                assert chunks == b"\r\n", chunks
                break
            payload, chunks = payload + chunks[:count], chunks[count + 2:]
        events = [e.removeprefix("data: ") for e in payload.decode().split("\n\n") if e]
        assert events.pop() == "[DONE]"
        usage = json.loads(events.pop())
        assert usage["choices"] == [], usage
        assert usage["usage"]["completion_tokens"] == self.tokens, usage
        choices = [json.loads(e)["choices"][0] for e in events]
        assert [c["finish_reason"] for c in choices] == [None] * (len(choices) - 1) + ["length"], choices[-3:]
        return "".join(c["text"] for c in choices)


class Watch:
    """The most that was seen of memory and of requests under way, until closed."""

    def __init__(self, glm: Glm):
        self.glm, self.memory, self.requests = glm, 0, 0
        self.pids = [glm.daemon_pid(), ps(glm)["runner_pid"]]
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self) -> None:
        while not self.over.wait(0.02):
            self.memory = max(self.memory, sum(resident(pid) for pid in self.pids))
            self.requests = max(self.requests, ps(self.glm)["requests"])

    def close(self) -> None:
        self.over.set()
        self.thread.join()


def ps(glm: Glm) -> dict:
    return json.loads(glm.api("GET", "/api/ps")[1])["models"][0]


def resident(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def check_streams(glm: Glm, alone: dict) -> None:
    before = [descriptors(pid) for pid in (glm.daemon_pid(), ps(glm)["runner_pid"])]
    watch = Watch(glm)
    started = time.monotonic()
    try:
        streams = [Stream(glm.port, PROMPTS[i % len(PROMPTS)], 200 if i < LONG else 8) for i in range(STREAMS)]
        with selectors.DefaultSelector() as selector:
            for stream in streams:
                selector.register(stream.socket, selectors.EVENT_READ, stream)
            while selector.get_map():
                ready = selector.select(60)
                assert ready, "nothing came for a minute"
                for key, _ in ready:
                    if not key.data.read():
                        selector.unregister(key.fd)
    finally:
        watch.close()
    seconds = time.monotonic() - started
    for stream in streams:
        want = alone[stream.prompt, stream.tokens]
        assert stream.text() == want, (stream.prompt, stream.text(), want)
    assert watch.requests == STREAMS, f"{watch.requests} requests at a time were seen"
    assert watch.memory < MEMORY_MAX, f"{watch.memory} bytes in daemon and runner"
    tokens = sum(s.tokens for s in streams)
    print(f"{STREAMS} streams at once in {seconds:.1f} s, {tokens / seconds:.0f} tokens/s, "
          f"at most {watch.memory >> 20} MiB in daemon and runner")
    pids = (glm.daemon_pid(), ps(glm)["runner_pid"])
    wait_until("descriptors are closed", 
               lambda: all(descriptors(pid) <= were for pid, were in zip(pids, before)))


def check_clients_that_leave(glm: Glm) -> None:
    before = descriptors(glm.daemon_pid())
    streams = [Stream(glm.port, "x", 2000) for _ in range(100)]
    wait_until("they have come", lambda: ps(glm)["requests"] == 100)
    for stream in streams:
        stream.socket.close()
    wait_until("they are gone", lambda: ps(glm)["requests"] == 0)
    wait_until("descriptors are closed", lambda: descriptors(glm.daemon_pid()) <= before)


def check_lists(glm: Glm, alone: dict) -> None:
    """Several prompts with several answers each, whole and as a stream, by their index."""
    request = {**body("", 8), "prompt": PROMPTS[:2], "n": 2}
    want = [alone[PROMPTS[i // 2], 8] for i in range(4)]
    status, answer = glm.api("POST", "/v1/completions", {**request, "stream": False})
    assert status == 200, answer
    choices = json.loads(answer)["choices"]
    assert [(c["index"], c["text"], c["finish_reason"]) for c in choices] == \
        [(i, text, "length") for i, text in enumerate(want)], choices
    status, answer = glm.api("POST", "/v1/completions", request)
    assert status == 200, answer
    events = [json.loads(e.removeprefix("data: ")) for e in answer.decode().split("\n\n") if e and "[DONE]" not in e]
    texts = [""] * 4
    for event in events[:-1]:
        texts[event["choices"][0]["index"]] += event["choices"][0]["text"]
    assert texts == want, texts
    assert events[-1]["usage"]["completion_tokens"] == 4 * 8, events[-1]


def check_bench(glm: Glm) -> None:
    lines = glm.ok("bench", "--serve", f"http://127.0.0.1:{glm.port}/v1", "tiny", "--concurrency", "1,64",
                   "--input-len", "20", "--output-len", "10", "--num-prompts", "64", "--json", "-")
    for concurrency, line in zip((1, 64), lines.splitlines(), strict=True):
        level = json.loads(line)
        assert level["max_concurrency"] == concurrency
        assert (level["completed"], level["failed"]) == (64, 0), level
        assert (level["total_input_tokens"], level["total_output_tokens"]) == (64 * 20, 64 * 10), level
        assert 0 < level["median_ttft_ms"] <= level["p99_ttft_ms"] <= level["duration"] * 1000, level


def test(glm: Glm, hub: Hub) -> None:
    del hub
    glm.ok("run", "tiny", "Hello")
    alone = {}
    for prompt in PROMPTS:
        for tokens in (8, 200):
            status, answer = glm.api("POST", "/v1/completions", {**body(prompt, tokens), "stream": False})
            assert status == 200, answer
            alone[prompt, tokens] = json.loads(answer)["choices"][0]["text"]
    check_streams(glm, alone)
    check_clients_that_leave(glm)
    check_lists(glm, alone)
    check_bench(glm)


if __name__ == "__main__":
    main(test)
