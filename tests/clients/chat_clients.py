"""The official `openai` and `ollama` Python clients talk to the daemon.

    python3 tests/clients/chat_clients.py <glm> <fake_hub>

Skipped (exit 77) where neither is installed.
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))

from harness import GOLDEN, Glm, Hub, jsonl, main  # noqa: E402

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
        client.chat.completions.create(model="nobody/nothing", messages=QUESTION)
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


# The first held-out question with tools whose answer is one call.
TOOL_CASE = next(case for case in jsonl(GOLDEN / "heldout.jsonl")
                 if case["task"] == "tool_call" and len(case["expected"]) == 1 and case["enable_thinking"])
CALL = TOOL_CASE["expected"][0]
ANSWERS = {"temperature": 0, "model": "tiny"}


def joined_calls(chunks) -> list[dict]:
    """What an OpenAI client makes of a stream: names come once, arguments add up."""
    calls: list[dict] = []
    for chunk in chunks:
        for piece in (chunk.choices[0].delta.tool_calls or []) if chunk.choices else []:
            if piece.index == len(calls):
                assert piece.id and piece.type == "function" and piece.function.name, piece
                calls.append({"id": piece.id, "name": piece.function.name, "arguments": "", "pieces": 0})
            else:
                assert not piece.function.name, piece
            calls[piece.index]["arguments"] += piece.function.arguments or ""
            calls[piece.index]["pieces"] += 1
    return calls


def check_openai_tools(client) -> None:
    asked = {**ANSWERS, "messages": TOOL_CASE["messages"], "tools": TOOL_CASE["tools"]}
    whole = client.chat.completions.create(**asked).choices[0]
    call = whole.message.tool_calls[0]
    assert whole.finish_reason == "tool_calls" and whole.message.content is not None, whole
    assert call.function.name == CALL["name"] and json.loads(call.function.arguments) == CALL["arguments"], call
    chunks = list(client.chat.completions.create(**asked, stream=True))
    streamed = joined_calls(chunks)
    assert len(streamed) == 1 and streamed[0]["name"] == CALL["name"], streamed
    assert streamed[0]["arguments"] == call.function.arguments and streamed[0]["pieces"] > 2, streamed
    assert chunks[-1].choices[0].finish_reason == "tool_calls", chunks[-1]
    # The result goes back with the call, as the client got it.
    history = [*TOOL_CASE["messages"], whole.message.model_dump(exclude_none=True),
               {"role": "tool", "tool_call_id": call.id, "content": "done"}]
    after = client.chat.completions.create(**{**asked, "messages": history}).choices[0]
    assert after.message.content and "<" not in after.message.content, after
    without = client.chat.completions.create(**asked, tool_choice="none").choices[0]
    assert not without.message.tool_calls and without.message.content is not None, without
    check_cut_off_calls(client, asked)


def check_cut_off_calls(client, asked) -> None:
    """Nobody can take the beginning of a call for a whole one."""
    tokens = client.chat.completions.create(**asked).usage.completion_tokens
    seen = 0
    for most in range(1, tokens):
        bounded = {**asked, "max_tokens": most}
        whole = client.chat.completions.create(**bounded).choices[0]
        chunks = list(client.chat.completions.create(**bounded, stream=True))
        assert whole.finish_reason == chunks[-1].choices[0].finish_reason == "length", whole
        calls = [call.function.arguments for call in whole.message.tool_calls or []]
        assert calls == [call["arguments"] for call in joined_calls(chunks)], (calls, chunks)
        for arguments in calls:
            seen += 1
            try:
                json.loads(arguments)
                raise AssertionError(f"cut off after {most} tokens, and still JSON: {arguments}")
            except ValueError:
                pass
    assert seen > 2, f"{tokens} tokens, and {seen} beginnings of calls"


def check_openai_thinking(client, openai) -> None:
    def ask(**more):
        return client.chat.completions.create(**ANSWERS, messages=QUESTION, **more).choices[0].message
    thinking = ask()
    assert thinking.content == "42" and thinking.reasoning_content, thinking
    for off in ({"reasoning_effort": "none"}, {"extra_body": {"chat_template_kwargs": {"enable_thinking": False}}}):
        plain = ask(**off)
        assert plain.content == "42" and not getattr(plain, "reasoning_content", None), plain
    assert ask(reasoning_effort="high").reasoning_content
    pieces = [c.choices[0].delta for c in client.chat.completions.create(**ANSWERS, messages=QUESTION, stream=True)]
    assert "".join(getattr(p, "reasoning_content", None) or "" for p in pieces) == thinking.reasoning_content
    try:
        ask(extra_body={"reasoning_effort": "some"})
        raise AssertionError("an unknown effort was taken")
    except openai.BadRequestError as error:
        assert "reasoning_effort" in str(error), error


def check_ollama_tools(client) -> None:
    asked = {"model": "tiny", "tools": TOOL_CASE["tools"], "options": {"temperature": 0}}
    whole = client.chat(messages=TOOL_CASE["messages"], **asked).message
    assert [(c.function.name, c.function.arguments) for c in whole.tool_calls] == [(CALL["name"], CALL["arguments"])]
    assert whole.content is not None and whole.thinking, whole
    pieces = [p.message for p in client.chat(messages=TOOL_CASE["messages"], stream=True, **asked)]
    calls = [call for piece in pieces for call in piece.tool_calls or []]
    assert [(c.function.name, c.function.arguments) for c in calls] == [(CALL["name"], CALL["arguments"])]
    assert all(piece.content is not None for piece in pieces), pieces
    assert "".join(piece.thinking or "" for piece in pieces) == whole.thinking
    history = [*TOOL_CASE["messages"], whole, {"role": "tool", "tool_name": CALL["name"], "content": "done"}]
    assert client.chat(messages=history, **asked).message.content
    tokens = client.chat(messages=TOOL_CASE["messages"], **asked).eval_count
    for most in (tokens - 1, tokens - 2, tokens - 5):
        bounded = {**asked, "options": {"temperature": 0, "num_predict": most}}
        cut_off = client.chat(messages=TOOL_CASE["messages"], **bounded)
        assert cut_off.done_reason == "length" and not cut_off.message.tool_calls, cut_off


def check_ollama_thinking(client) -> None:
    def ask(think):
        return client.chat("tiny", messages=QUESTION, think=think, options={"temperature": 0}).message
    for on in (True, "low", "high", None):
        message = ask(on)
        assert message.content == "42" and message.thinking, message
    assert ask(False).content == "42" and not ask(False).thinking
    generated = client.generate("tiny", QUESTION[0]["content"], think=True, options={"temperature": 0})
    assert generated.response == "42" and generated.thinking, generated


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
        client = clients["openai"].OpenAI(base_url=f"http://127.0.0.1:{glm.port}/v1", api_key="none")
        check_openai_tools(client)
        check_openai_thinking(client, clients["openai"])
    if "ollama" in clients:
        check_ollama(glm, clients["ollama"])
        client = clients["ollama"].Client(host=f"http://127.0.0.1:{glm.port}")
        check_ollama_tools(client)
        check_ollama_thinking(client)


if __name__ == "__main__":
    main(test)
