"""What the end-to-end tests share: a glm with a home and a port of its own, and a stand-in hub.

Standard library only. Every test is a program: `python3 tests/e2e/<test>.py <glm> <fake_hub>`.
"""

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]
GOLDEN = SOURCE / "tests" / "golden" / "tiny"


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def jsonl(path: Path) -> list:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


class Glm:
    """The program under test, with a store, a daemon and a port that nobody else uses."""

    def __init__(self, program: str, hub_url: str = "", **environment: str):
        self.program = program
        self.home = Path(tempfile.mkdtemp(prefix="glm-e2e-"))
        self.port = free_port()
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("GLM_", "HF_"))},
            "GLM_HOME": str(self.home),
            "GLM_HOST": f"127.0.0.1:{self.port}",
            "HF_ENDPOINT": hub_url or "http://127.0.0.1:9",
            "HF_HOME": str(self.home / "hf"),
            "NO_PROXY": "127.0.0.1,localhost",
            **environment,
        }

    def run(self, *arguments: str, stdin: str = "", timeout_s: float = 120) -> subprocess.CompletedProcess:
        return subprocess.run([self.program, *arguments], input=stdin, capture_output=True, text=True,
                              env=self.environment, timeout=timeout_s, check=False)

    def start(self, *arguments: str) -> subprocess.Popen:
        return subprocess.Popen([self.program, *arguments], stdin=subprocess.DEVNULL,
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=self.environment)

    def ok(self, *arguments: str, **options) -> str:
        done = self.run(*arguments, **options)
        assert done.returncode == 0, f"glm {' '.join(arguments)}: exit {done.returncode}\n{done.stderr}"
        return done.stdout

    def json(self, *arguments: str):
        return json.loads(self.ok(*arguments, "--json"))

    def api(self, method: str, path: str, body=None, headers=None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
            connection.request(method, path, data, {"Content-Type": "application/json", **(headers or {})})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def daemon_pid(self) -> int:
        try:
            return int((self.home / "daemon.pid").read_text() or 0)
        except (FileNotFoundError, ValueError):
            return 0

    def blobs(self) -> list[str]:
        return sorted(p.name for p in (self.home / "blobs").glob("*/*"))

    def close(self) -> None:
        self.run("stop", "--all")
        pid = self.daemon_pid()
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.home, ignore_errors=True)


class Hub:
    """The stand-in hub, serving folders as repositories."""

    def __init__(self, program: str, repositories: dict[str, Path]):
        self.root = Path(tempfile.mkdtemp(prefix="glm-hub-"))
        for name, folder in repositories.items():
            shutil.copytree(folder, self.root / name)
        self.process = subprocess.Popen([program, "--root", str(self.root)], stdout=subprocess.PIPE, text=True)
        self.url = self.process.stdout.readline().strip()

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.root, ignore_errors=True)


def wait_until(what: str, condition, timeout_s: float = 20) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout_s} s in vain: {what}"
        time.sleep(0.02)


def main(test, repositories: dict[str, Path] | None = None) -> None:
    """Runs test(glm, hub) and cleans up; prints what it checked."""
    program, fake_hub = sys.argv[1], sys.argv[2]
    hub = Hub(fake_hub, repositories or {"glm-org/glm-tiny": SOURCE / "models" / "glm-tiny"})
    glm = Glm(program, hub.url)
    try:
        test(glm, hub)
    except BaseException:
        log = glm.home / "logs" / "daemon.log"
        if log.exists():
            print("--- daemon.log\n" + log.read_text(errors="replace")[-4000:], file=sys.stderr)
        raise
    finally:
        glm.close()
        hub.close()
    print("ok")
