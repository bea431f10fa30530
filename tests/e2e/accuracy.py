"""Answers the held-out set through glm's API and prints the accuracy table of the model cards.

    python3 tests/e2e/accuracy.py <glm> <fake_hub> [--sample N]

The three judged tasks of BF16 and int4 are held against the scores that PyTorch has on the same
weights (tests/golden/tiny/scores_pytorch.json): they may differ by one point. With --sample only
about N prompts of a task are asked, and one more of them may be wrong.
"""

import json
import sys
from concurrent.futures import ThreadPoolExecutor

from harness import GOLDEN, Glm, Hub, jsonl, main

JUDGED = ("addition", "reverse", "tool_call")


def answer_of(glm: Glm, model: str, prompt: dict) -> dict:
    body = {"model": model, "messages": prompt["messages"], "think": prompt["enable_thinking"], "stream": False,
            "options": {"num_predict": 256}}
    if prompt.get("tools"):
        body["tools"] = prompt["tools"]
    status, text = glm.api("POST", "/api/chat", body)
    assert status == 200, text
    return json.loads(text)["message"]


def is_right(prompt: dict, message: dict) -> bool:
    if isinstance(prompt["expected"], str):
        return message["content"].strip() == prompt["expected"].strip() and not message.get("tool_calls")
    calls = [{"name": c["function"]["name"], "arguments": c["function"]["arguments"]}
             for c in message.get("tool_calls", [])]
    return calls == prompt["expected"]


def scores(glm: Glm, model: str, prompts: list) -> dict:
    with ThreadPoolExecutor(8) as pool:
        right = list(pool.map(lambda p: is_right(p, answer_of(glm, model, p)), prompts))
    totals: dict = {}
    for prompt, ok in zip(prompts, right):
        total = totals.setdefault(prompt["task"], [0, 0])
        total[0] += ok
        total[1] += 1
    return totals


def test(glm: Glm, hub: Hub) -> None:
    del hub
    sample = int(sys.argv[sys.argv.index("--sample") + 1]) if "--sample" in sys.argv else 0
    prompts = []
    for task in JUDGED:
        of_task = [p for p in jsonl(GOLDEN / "heldout.jsonl") if p["task"] == task]
        prompts += of_task[:: max(1, len(of_task) // sample)] if sample else of_task
    reference = json.loads((GOLDEN / "scores_pytorch.json").read_text())
    for label, model in (("bf16", "tiny"), ("int4", "tiny:int4")):
        glm.ok("pull", model)
        for task, (right, total) in scores(glm, model, prompts).items():
            wanted = reference[label]["tasks"][task]["accuracy"]
            print(f"| {label} | {task} | {total} | {100 * right / total:.1f} % | PyTorch {100 * wanted:.1f} % |")
            tolerance = 0.01 if not sample else 0.01 + 1 / total
            assert abs(right / total - wanted) <= tolerance, "too far from PyTorch"


if __name__ == "__main__":
    main(test)
