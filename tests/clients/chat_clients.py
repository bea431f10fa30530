"""The official `openai` and `ollama` Python clients talk to the daemon.

    python3 tests/clients/chat_clients.py <glm> <fake_hub>

Skipped (exit 77) where neither is installed.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))

from harness import Glm, Hub, main  # noqa: E402

QUESTION = [{"role": "user", "content": "What is 17 + 25?"}]


def check_openai(glm: Glm, openai) -> None:
    client = openai.OpenAI(base_url=f"http://127.0.0.1:{glm.port}/v1", api_key="none")
    whole = client.chat.completions.create(model="tiny", messages=QUESTION)
    assert whole.choices[0].message.content == "42", whole
    assert whole.choices[0].finish_reason == "stop" and whole.usage.completion_tokens > 2, whole
    stream = client.chat.completions.create(model="tiny", messages=QUESTION, stream=True,
                                            stream_options={"include_usage": True})
    chunks = list(stream)
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "42"
    assert chunks[-1].usage.total_tokens > 20
    try:
        client.chat.completions.create(model="nope", messages=QUESTION)
        raise AssertionError("an unknown model was answered")
    except openai.NotFoundError as error:
        assert "try pulling it first" in str(error), error


def check_ollama(glm: Glm, ollama) -> None:
    client = ollama.Client(host=f"http://127.0.0.1:{glm.port}")
    assert client.chat("tiny", messages=QUESTION, think=False)["message"]["content"] == "42"
    pieces = list(client.chat("tiny", messages=QUESTION, stream=True))
    assert "".join(p["message"]["content"] or "" for p in pieces) == "42"
    assert pieces[-1]["done"] and pieces[-1]["eval_count"] > 2
    assert [m.model for m in client.list().models] == ["tiny:latest"]
    assert client.show("tiny").details.family == "glm4_moe_lite"
    assert client.ps().models[0].model == "tiny:latest"


def test(glm: Glm, hub: Hub) -> None:
    del hub
    clients = {}
    for name in ("openai", "ollama"):
        try:
            clients[name] = __import__(name)
        except ImportError:
            print(f"{name} is not installed")
    if not clients:
        sys.exit(77)
    glm.ok("pull", "tiny")
    if "openai" in clients:
        check_openai(glm, clients["openai"])
    if "ollama" in clients:
        check_ollama(glm, clients["ollama"])


if __name__ == "__main__":
    main(test)
