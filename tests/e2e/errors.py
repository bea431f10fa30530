"""Bad input: one clear message each, a fitting exit code, and the store as it was.

Unknown models, architectures that do not run, damaged and truncated files, a full disk, a port in
use, no network, web pages from elsewhere, bodies of every bad kind, a runner that is killed.
"""

import http.client
import http.server
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

from harness import SOURCE, Glm, Hub, free_port, main, wait_until

TINY = SOURCE / "models" / "glm-tiny"

# From docs/cli.md.
INVALID, NOT_FOUND, EXISTS, CORRUPT, UNAVAILABLE, UNSUPPORTED, PERMISSION, EXHAUSTED, DEVICE = 2, 3, 4, 5, 6, 7, 8, 9, 10


def fails(glm: Glm, arguments: list, code: int, *words: str) -> str:
    before = (glm.blobs(), [m["name"] for m in glm.json("list")["models"]])
    done = glm.run(*arguments)
    assert done.returncode == code, (arguments, done.returncode, done.stderr)
    assert done.stdout == "", (arguments, done.stdout)
    for word in words:
        assert word in done.stderr, (arguments, word, done.stderr)
    message = [line for line in done.stderr.splitlines() if line.startswith("glm: ")]
    assert message and "error:" not in message[-1], done.stderr
    after = (glm.blobs(), [m["name"] for m in glm.json("list")["models"]])
    assert set(before[0]) <= set(after[0]) and before[1] == after[1], "the store changed"
    print(f"  {code}: {message[-1]}")
    return done.stderr


def check_names(glm: Glm) -> None:
    wrong = fails(glm, ["run", "no-such-model", "hi"], NOT_FOUND, "glm: run no-such-model: there is no model 'no-such-model'",
                  "'glm list --catalog'")
    assert "pull" not in wrong, wrong
    fails(glm, ["run", "tinny", "hi"], NOT_FOUND, "did you mean 'tiny'?")
    fails(glm, ["pull", "glm-4.7-flsh"], NOT_FOUND, "glm-4.7-flash")
    known = {m["name"]: m["pulled"] for m in glm.json("list", "--catalog")["models"]}
    assert known["tiny:latest"] is False and "glm-4.7-flash:awq" in known, known
    fails(glm, ["pull", "nobody/nothing"], NOT_FOUND, "nobody/nothing does not exist")
    fails(glm, ["pull", "../../etc/passwd"], INVALID, "is no model name")
    fails(glm, ["pull", "glm-org/glm-tiny@v9"], NOT_FOUND, "no branch, tag or commit 'v9'")
    assert "pull" not in fails(glm, ["rm", "no-such-model"], NOT_FOUND, "not found")
    fails(glm, ["rm", "no-such-model", "nor-this"], NOT_FOUND, "no-such-model", "nor-this")
    assert "pull" not in fails(glm, ["stop", "no-such-model"], NOT_FOUND, "not found")
    fails(glm, ["run", str(TINY), "hi"], UNSUPPORTED, "is a folder")
    fails(glm, ["pull", str(TINY)], UNSUPPORTED, "is a folder")
    fails(glm, ["cp", "no-such-model", "x"], NOT_FOUND, "not found")
    fails(glm, ["show", "no-such-model"], NOT_FOUND, "not found")


def check_suggestions(glm: Glm) -> None:
    """Wrong names are held against those that are here, too."""
    glm.ok("pull", "tiny")
    glm.ok("cp", "tiny", "mine")
    for command in (["run", "mien", "hi"], ["pull", "mien"], ["show", "mien"], ["cp", "mien", "x"], ["tokenize", "mien"],
                    ["stop", "mien"], ["rm", "mien"]):
        fails(glm, command, NOT_FOUND, "did you mean 'mine'?")
    status, body = glm.api("POST", "/v1/chat/completions", {"model": "mine:v2", "messages": [{"role": "user", "content": "x"}]})
    assert status == 404 and b"did you mean 'mine'?" in body, (status, body)
    glm.ok("rm", "mine", "tiny")


def check_models_that_cannot_run(glm: Glm) -> None:
    fails(glm, ["pull", "other/qwen"], UNSUPPORTED, "qwen2")
    fails(glm, ["pull", "other/truncated"], CORRUPT, "model.safetensors")
    fails(glm, ["pull", "other/nonsense"], CORRUPT, "config.json")
    fails(glm, ["pull", "other/gguf"], UNSUPPORTED, "GGUF")
    # Refused when the small files are here.
    fails(glm, ["pull", "other/wordless"], UNSUPPORTED, "no tokenizer.json")
    fails(glm, ["pull", "other/mumbling"], CORRUPT, "tokenizer.json", "the repository itself is broken")
    assert "glm cannot run this: it has no tokenizer.json" in glm.ok("show", "other/wordless")
    assert glm.json("list")["models"] == []


def broken_repositories(root: Path) -> dict:
    """Folders the hub serves, each broken in one way."""
    made = {}
    for name in ("qwen", "truncated", "nonsense", "gguf", "wordless", "mumbling"):
        folder = root / name
        shutil.copytree(SOURCE / "models" / "glm-tiny-int4", folder)
        made[f"other/{name}"] = folder
    config = json.loads((root / "qwen" / "config.json").read_text())
    config.update(model_type="qwen2", architectures=["Qwen2ForCausalLM"])
    (root / "qwen" / "config.json").write_text(json.dumps(config))
    weights = root / "truncated" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    (root / "nonsense" / "config.json").write_text('{"model_type": ["glm4_moe_lite"]}')
    (root / "wordless" / "tokenizer.json").unlink()
    (root / "mumbling" / "tokenizer.json").write_text('{"version": "1.0"}')
    (root / "gguf" / "model.safetensors").rename(root / "gguf" / "model.gguf")
    return made


def check_damage(glm: Glm) -> None:
    glm.ok("pull", "tiny")
    # A tokenizer that is truncated on disk after it was verified.
    shown = glm.json("show", "tiny")
    digest = next(f["digest"] for f in shown["files"] if f["path"] == "tokenizer.json").removeprefix("sha256:")
    blob = glm.home / "blobs" / digest[:2] / digest
    whole = blob.read_bytes()
    blob.chmod(0o644)
    blob.write_bytes(whole[:1000])
    glm.ok("stop", "tiny")
    fails(glm, ["run", "tiny", "What is 17 + 25?"], CORRUPT, "tokenizer.json", "if a file was damaged here, 'glm pull tiny:latest'")
    blob.write_bytes(whole)
    assert glm.ok("run", "tiny", "What is 17 + 25?") == "42\n"
    glm.ok("stop", "tiny")
    weights = next(f for f in shown["files"] if f["path"].startswith("model-00001"))["digest"].removeprefix("sha256:")
    blob = glm.home / "blobs" / weights[:2] / weights
    whole = blob.read_bytes()
    blob.chmod(0o644)
    blob.write_bytes(whole[:-1])
    fails(glm, ["run", "tiny", "What is 17 + 25?"], CORRUPT, "model-00001", "if a file was damaged here, 'glm pull tiny:latest'")
    blob.unlink()
    healed = glm.run("run", "tiny", "What is 17 + 25?")  # a blob that is gone is pulled again
    assert healed.stdout == "42\n" and "pulling" in healed.stderr, healed


def change_a_byte(glm: Glm, model: str, path: str) -> None:
    """Of a file in the middle, so that its length stays."""
    digest = next(f["digest"] for f in glm.json("show", model)["files"] if f["path"] == path).removeprefix("sha256:")
    blob = glm.home / "blobs" / digest[:2] / digest
    bytes_ = bytearray(blob.read_bytes())
    bytes_[len(bytes_) // 2] ^= 1
    blob.chmod(0o644)
    blob.write_bytes(bytes_)


def check_mending(glm: Glm) -> None:
    """A pull of what is here reads it, and fetches again what was damaged; a loaded model is loaded anew."""
    model = "glm-org/glm-tiny"
    glm.ok("pull", model)
    again = glm.run("pull", model)
    assert again.returncode == 0 and again.stderr.count("here already") > 5 and ": 100%" not in again.stderr, again.stderr
    glm.ok("cp", model, "shared")
    for path in ("model-00001-of-00002.safetensors", "config.json"):
        assert glm.ok("run", model, "What is 17 + 25?") == "42\n"
        before = runner_pid(glm)
        change_a_byte(glm, model, path)
        mended = glm.run("pull", model)
        assert mended.returncode == 0 and f"{path} is damaged here\n" in mended.stderr, mended.stderr
        assert mended.stderr.count(": 100%") == 1, mended.stderr
        assert glm.ok("run", model, "What is 17 + 25?") == "42\n"
        assert runner_pid(glm) != before, "the model is still loaded from the damaged file"
    glm.ok("stop", model)
    glm.ok("rm", model)
    assert glm.ok("run", "shared", "What is 17 + 25?") == "42\n"
    glm.ok("stop", "shared")
    glm.ok("rm", "shared")


def check_emptied_index(glm: Glm) -> None:
    glm.ok("pull", "tiny")
    glm.ok("stop", "--all")
    os.truncate(glm.home / "index.db", 0)
    word = f"glm: warning: the index of models, {glm.home}/index.db, was moved away or emptied"
    for _ in range(2):  # also a daemon that did not find it so
        listed = glm.run("list")
        assert listed.returncode == 0 and word in listed.stderr and "tiny" not in listed.stdout, listed
        fails(glm, ["rm", "tiny"], NOT_FOUND, word)
        tokens = glm.run("tokenize", "tiny", stdin="x")
        assert tokens.returncode == 0 and word in tokens.stderr, tokens
        glm.ok("stop", "--all")
    pulled = glm.run("run", "tiny", "What is 17 + 25?")
    assert pulled.stdout == "42\n" and word in pulled.stderr and "here already" in pulled.stderr, pulled
    again = glm.run("list")
    assert "warning" not in again.stderr and "tiny" in again.stdout, again


def check_weights_that_are_not_finite(glm: Glm) -> None:
    """Damage that every header survives; the advice helps, also for a second name of the model."""
    glm.ok("pull", "tiny")
    glm.ok("cp", "tiny", "mine")
    shown = glm.json("show", "mine")
    digest = next(f for f in shown["files"] if f["path"].startswith("model-00001"))["digest"].removeprefix("sha256:")
    blob = glm.home / "blobs" / digest[:2] / digest
    bytes_ = blob.read_bytes()
    half = len(bytes_) // 2
    blob.chmod(0o644)
    blob.write_bytes(bytes_[:half] + b"\xc0\x7f" * ((len(bytes_) - half) // 2))
    fails(glm, ["run", "mine", "What is 17 + 25?"], CORRUPT, "not finite", "'glm pull mine:latest' finds and mends it")
    pulled = glm.run("pull", "mine:latest")
    assert pulled.returncode == 0 and "model-00001-of-00002.safetensors is damaged here" in pulled.stderr, pulled
    for name in ("tiny", "mine"):
        assert glm.ok("run", name, "What is 17 + 25?") == "42\n"
        glm.ok("stop", name)
    glm.ok("rm", "mine")


def check_full_disk(program: str, hub: Hub) -> None:
    """A limit on the size of files stands for a disk that is full."""
    glm = Glm(program, hub.url)
    try:
        daemon = subprocess.Popen(
            [program, "serve"], env=glm.environment, stderr=subprocess.DEVNULL,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000)))
        wait_until("the daemon answers", lambda: glm.run("version", "--json").stdout.find('"host"') > 0)
        fails(glm, ["pull", "glm-org/glm-tiny"], EXHAUSTED, "model-0000")
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(20) == 0
        assert glm.ok("run", "glm-org/glm-tiny", "What is 17 + 25?") == "42\n"
    finally:
        glm.close()


def check_ports(program: str, hub: Hub) -> None:
    glm = Glm(program, hub.url)
    try:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", glm.port))
            taken.listen()
            done = glm.run("serve")
            assert done.returncode == EXISTS and "in use" in done.stderr, done
            print(f"  {EXISTS}: {done.stderr.strip().splitlines()[-1]}")
        glm.ok("list")
        wide = subprocess.run([program, "list"], env={**glm.environment, "GLM_HOST": f"0.0.0.0:{glm.port}"},
                              capture_output=True, text=True, check=False)
        assert wide.returncode == UNSUPPORTED and f"use 127.0.0.1:{glm.port} " in wide.stderr, wide
        second = subprocess.run([program, "serve"], env={**glm.environment, "GLM_HOST": f"127.0.0.1:{free_port()}"},
                                capture_output=True, text=True, check=False)
        assert second.returncode == EXISTS and f"pid {glm.daemon_pid()}" in second.stderr, second
        for command in (["list"], ["ps"], ["stop", "tiny"]):
            asked = subprocess.run([program, *command], env={**glm.environment, "GLM_HOST": f"127.0.0.1:{free_port()}"},
                                   capture_output=True, text=True, check=False)
            assert asked.returncode == EXISTS and f"use it with GLM_HOST=127.0.0.1:{glm.port}," in asked.stderr, asked
        # What that message advises ends a daemon at another address, too.
        elsewhere = subprocess.run([program, "stop", "--all"], env={**glm.environment, "GLM_HOST": f"127.0.0.1:{free_port()}"},
                                   capture_output=True, text=True, check=False)
        assert elsewhere.returncode == 0 and "listened at another address" in elsewhere.stderr, elsewhere
        assert glm.daemon_pid() == 0
        # And where another program has the port.
        glm.ok("list")
        with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as other:
            threading.Thread(target=other.serve_forever, daemon=True).start()
            busy = subprocess.run([program, "stop", "--all"], env={**glm.environment, "GLM_HOST": f"127.0.0.1:{other.server_port}"},
                                  capture_output=True, text=True, check=False)
            other.shutdown()
        assert busy.returncode == 0 and "listened at another address" in busy.stderr, busy
        assert glm.daemon_pid() == 0
        far = subprocess.run([program, "serve"], env={**glm.environment, "GLM_HOST": "0.0.0.0:1"},
                             capture_output=True, text=True, check=False)
        assert far.returncode == UNSUPPORTED and "loopback" in far.stderr, far
    finally:
        glm.close()


def check_no_network(program: str) -> None:
    glm = Glm(program, f"http://127.0.0.1:{free_port()}")
    try:
        began = time.monotonic()
        process = glm.start("pull", "glm-org/glm-tiny")
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130
        assert time.monotonic() - began < 10
        log = glm.home / "logs" / "daemon.log"
        wait_until("the daemon gives the pull up", lambda: "pull given up, nobody waits for it" in log.read_text())
        assert "the daemon was stopped" not in log.read_text()
        offline = Glm(program, "http://127.0.0.1:9", HF_HUB_OFFLINE="1")
        try:
            fails(offline, ["pull", "glm-org/glm-tiny"], UNAVAILABLE, "HF_HUB_OFFLINE")
            assert offline.ok("run", "tiny", "What is 17 + 25?") == "42\n"  # ships with the program
        finally:
            offline.close()
    finally:
        glm.close()


def check_web_pages(glm: Glm) -> None:
    for headers in ({"Origin": "https://evil.example"}, {"Host": "evil.example"}, {"Origin": "null"}):
        for method, path in (("GET", "/api/tags"), ("POST", "/api/generate"), ("DELETE", "/api/delete"), ("OPTIONS", "/api/tags")):
            status, body = glm.api(method, path, {"model": "tiny", "prompt": "x"}, headers)
            assert status == 403, (headers, method, path, status, body)
    status, _ = glm.api("GET", "/api/tags", None, {"Origin": "http://localhost:3000"})
    assert status == 200


def check_bodies(glm: Glm) -> None:
    def expect(status: int, word: str, body, path: str = "/api/chat") -> None:
        got, answer = glm.api("POST", path, body)
        assert got == status and word in answer.decode(), (path, body if len(str(body)) < 200 else "...", got, answer[:300])

    expect(400, "missing request body", b"")
    expect(400, "not valid JSON: line 2, column 8:", b'{"model": "tiny"\n"prompt": "x"}')
    expect(400, "nested deeper", b'{"a":' + b"[" * 100_000)
    expect(400, "model is required", {})
    expect(400, "wants a list", {"model": "tiny", "messages": "hi"})
    expect(400, "messages[0]", {"model": "tiny", "messages": [1]})
    expect(400, "messages[0]: content is missing", {"model": "tiny", "messages": [{"role": "user"}]})
    expect(400, "messages[0]: content is missing", {"model": "tiny", "messages": [{"role": "assistant", "tool_calls": []}]})
    expect(400, "messages[0]: content is missing", {"model": "tiny", "messages": [{"role": "user"}]}, "/v1/chat/completions")
    expect(400, "temperature", {"model": "tiny", "messages": [{"role": "user", "content": "x"}], "options": {"temperature": 99}})
    expect(404, "there is no model 'nope' in the catalog", {"model": "nope", "messages": [{"role": "user", "content": "x"}]})
    expect(404, "did you mean 'tiny'?", {"model": "tinny", "messages": [{"role": "user", "content": "x"}]})
    expect(404, "did you mean 'tiny'?", {"model": "tinny", "prompt": "", "keep_alive": 0}, "/api/generate")
    for command in ("rm", "stop"):
        fails(glm, [command, "tinny"], NOT_FOUND, "did you mean 'tiny'?")
    expect(404, "not found, try pulling it first", {"model": "glm-4.7-flash", "messages": [{"role": "user", "content": "x"}]})
    expect(400, "tokens", {"model": "tiny", "messages": [{"role": "user", "content": "word " * 5000}]})
    expect(400, '"code":"context_length_exceeded"', {"model": "tiny", "messages": [{"role": "user", "content": "word " * 5000}]},
           "/v1/chat/completions")
    expect(400, "format", {"model": "tiny", "messages": [{"role": "user", "content": "x"}], "format": "json"})
    expect(400, "template", {"model": "tiny", "messages": [{"role": "user", "content": "x"}], "template": "{{ 1 }}"})
    expect(400, "template", {"model": "tiny", "prompt": "x", "template": "{{ 1 }}"}, "/api/generate")
    expect(400, "CUDA", {"model": "tiny", "prompt": "x", "options": {"device": "cuda"}}, "/api/generate")
    expect(400, "kv_cache_type wants bf16 or fp8, got 'q8_0'",
           {"model": "tiny", "prompt": "x", "options": {"kv_cache_type": "q8_0"}}, "/api/generate")
    expect(400, "'context' is not supported", {"model": "tiny", "prompt": "x", "context": [1, 2]}, "/api/generate")
    for field in ("stream_options", "reasoning"):
        expect(400, f"field '{field}' wants an object, got a string",
               {"model": "tiny", "messages": [{"role": "user", "content": "x"}], field: "high"}, "/v1/chat/completions")
    # What cannot succeed costs the loaded model nothing.
    assert glm.ok("run", "tiny", "What is 17 + 25?") == "42\n"
    before = runner_pid(glm)
    expect(400, "CUDA", {"model": "tiny", "prompt": "x", "options": {"device": "cuda"}}, "/api/generate")
    assert before and runner_pid(glm) == before, "the loaded model had to go for a load that was refused"
    expect(404, "no such endpoint", {}, "/api/nothing")
    status, body = glm.api("GET", "/api/chat")
    assert status == 405 and b"wants POST" in body, (status, body)
    expect(400, "images", {"model": "tiny", "messages": [{"role": "user", "content": "x", "images": ["abc"]}]})
    for path in ("/api/chat", "/v1/chat/completions"):
        expect(400, "tools[0]: field 'function' is missing",
               {"model": "tiny", "messages": [{"role": "user", "content": "x"}], "tools": [{"name": "f"}]}, path)
    for field, value in (("functions", []), ("guided_json", {}), ("continue_final_message", True), ("add_generation_prompt", False)):
        expect(400, f"'{field}' is not supported",
               {"model": "tiny", "messages": [{"role": "user", "content": "x"}], field: value}, "/v1/chat/completions")
    for value in (0, 5):
        expect(400, "'logprobs' is not supported", {"model": "tiny", "prompt": "x", "logprobs": value}, "/v1/completions")
    expect(400, "format", {"model": "tiny", "messages": [{"role": "user", "content": "x"}], "format": {}})
    expect(404, "not_found_error", {"model": "nope", "messages": []}, "/v1/chat/completions")
    huge = b'{"model": "tiny", "x": "' + b"a" * (33 << 20) + b'"}'
    expect(413, "larger than", huge)
    assert glm.api("GET", "/api/version")[0] == 200


def runner_pid(glm: Glm) -> int:
    models = json.loads(glm.api("GET", "/api/ps")[1])["models"]
    return models[0]["runner_pid"] if models else 0


def requests(glm: Glm) -> int:
    models = json.loads(glm.api("GET", "/api/ps")[1])["models"]
    return models[0]["requests"] if models else 0


def check_killed_runner(glm: Glm) -> None:
    glm.ok("run", "tiny", "What is 17 + 25?")
    daemon = glm.daemon_pid()
    results = []

    def ask() -> None:
        results.append(glm.run("run", "tiny", "--num-predict", "4000", "--temperature", "1.5", "Count from 1 to 60."))

    for _ in range(10):  # until the runner dies in the middle of an answer
        thread = threading.Thread(target=ask)
        thread.start()
        wait_until("the answer has begun", lambda: requests(glm) == 1 or not thread.is_alive())
        os.kill(runner_pid(glm), signal.SIGKILL)
        thread.join()
        if results[-1].returncode != 0:
            break
    assert results[-1].returncode == DEVICE, results[-1]
    assert "ended unexpectedly (killed by signal 9" in results[-1].stderr, results[-1].stderr
    print(f"  {DEVICE}: {results[-1].stderr.strip().splitlines()[-1]}")
    assert glm.ok("run", "tiny", "What is 17 + 25?") == "42\n"
    assert glm.daemon_pid() == daemon, "the daemon did not survive its runner"


def check_client_that_leaves(glm: Glm) -> None:
    """A closed connection takes its request with it, streaming or not."""
    for stream in (True, False):
        connection = http.client.HTTPConnection("127.0.0.1", glm.port)
        body = {"model": "tiny", "prompt": "x", "stream": stream, "max_tokens": 4000, "ignore_eos": True}
        connection.request("POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"})
        wait_until("the request runs", lambda: requests(glm) == 1)
        connection.sock.shutdown(socket.SHUT_RDWR)
        connection.close()
        wait_until("the request is gone", lambda: requests(glm) == 0, 5)


def test(glm: Glm, hub: Hub) -> None:
    check_names(glm)
    check_suggestions(glm)
    check_models_that_cannot_run(glm)
    check_mending(glm)
    check_emptied_index(glm)
    check_weights_that_are_not_finite(glm)
    check_damage(glm)
    check_web_pages(glm)
    check_bodies(glm)
    check_killed_runner(glm)
    check_client_that_leaves(glm)
    check_full_disk(glm.program, hub)
    check_ports(glm.program, hub)
    check_no_network(glm.program)


if __name__ == "__main__":
    import tempfile
    with tempfile.TemporaryDirectory() as folder:
        main(test, {"glm-org/glm-tiny": TINY, **broken_repositories(Path(folder))})
