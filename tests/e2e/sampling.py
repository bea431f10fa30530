"""Choice of tokens through OpenAI's dialect: seeds, biases, logprobs, and answers that may not end early.

    python3 tests/e2e/sampling.py <glm> <fake_hub>
"""

import json

from harness import Glm, Hub, main


def ask(glm: Glm, **fields) -> dict:
    body = {"model": "tiny", "messages": [{"role": "user", "content": "12 + 30 ="}], "max_tokens": 12,
            "temperature": 0, "reasoning_effort": "none", **fields}
    status, text = glm.api("POST", "/v1/chat/completions", body)
    assert status == 200, text
    return json.loads(text)


def content_of(answer: dict) -> str:
    return answer["choices"][0]["message"]["content"]


def logprobs_of(answer: dict) -> list:
    return answer["choices"][0]["logprobs"]["content"]


def check_seeds(glm: Glm) -> None:
    hot = {"temperature": 2, "max_tokens": 40, "ignore_eos": True}
    texts = [content_of(ask(glm, seed=seed, **hot)) for seed in (1, 1, 2)]
    assert texts[0] == texts[1] and texts[0] != texts[2], texts


def check_logprobs(glm: Glm) -> dict:
    assert ask(glm)["choices"][0]["logprobs"] is None
    answer = ask(glm, logprobs=True, top_logprobs=2)
    tokens = logprobs_of(answer)
    assert 0 < len(tokens) <= answer["usage"]["completion_tokens"], answer
    for token in tokens:
        assert token["token"] == token["top_logprobs"][0]["token"], token  # greedy
        assert token["logprob"] == token["top_logprobs"][0]["logprob"] <= 0
        assert len(token["top_logprobs"]) == 2 and bytes(token["bytes"]).decode() == token["token"]
    return tokens[0]


def check_streamed_logprobs(glm: Glm, first: dict) -> None:
    body = {"model": "tiny", "messages": [{"role": "user", "content": "12 + 30 ="}], "max_tokens": 12,
            "temperature": 0, "reasoning_effort": "none", "logprobs": True, "stream": True}
    status, text = glm.api("POST", "/v1/chat/completions", body)
    assert status == 200, text
    events = [json.loads(line[6:]) for line in text.decode().splitlines()
              if line.startswith("data: ") and line != "data: [DONE]"]
    tokens = [token for event in events for choice in event["choices"]
              for token in (choice.get("logprobs") or {}).get("content", [])]
    assert tokens[0]["token"] == first["token"] and tokens[0]["top_logprobs"] == [], tokens


def check_biases(glm: Glm, first: dict) -> None:
    plain = content_of(ask(glm, max_tokens=1))
    assert plain == first["token"]
    [token] = json.loads(glm.ok("tokenize", "tiny", "--json", "--no-special", stdin=plain))
    banned = ask(glm, max_tokens=1, logit_bias={str(token): -100}, logprobs=True)
    assert content_of(banned) != plain, banned
    assert logprobs_of(banned)[0]["logprob"] < first["logprob"], "logprobs are those before the bias"


def check_lengths(glm: Glm) -> None:
    usual = ask(glm)["usage"]["completion_tokens"]
    assert usual < 12
    assert ask(glm, min_tokens=usual + 3)["usage"]["completion_tokens"] >= usual + 3
    endless = ask(glm, ignore_eos=True)
    assert endless["usage"]["completion_tokens"] == 12
    assert endless["choices"][0]["finish_reason"] == "length"


def test(glm: Glm, hub: Hub) -> None:
    del hub
    glm.ok("pull", "tiny")
    first = check_logprobs(glm)
    check_streamed_logprobs(glm, first)
    check_seeds(glm)
    check_biases(glm, first)
    check_lengths(glm)


if __name__ == "__main__":
    main(test)
