"""The whole way: pull from the stand-in hub, run, and the same greedy text as transformers.

The references (tests/golden/tiny, with their recipe) are 200 held-out prompts per format, float32
on the stored weights. Raw prompts must give the same text to the letter; a difference is only
accepted where the reference's two best logits are closer than 1e-4, and is listed. Prompts of one
turn are also asked through `glm run`.
"""

import json
from concurrent.futures import ThreadPoolExecutor

from harness import GOLDEN, SOURCE, Glm, Hub, jsonl, main

HUB_MODEL = "glm-org/glm-tiny"


def check_first_contact(glm: Glm) -> None:
    done = glm.run("run", HUB_MODEL, "What is 17 + 25?")  # pulls first
    assert done.returncode == 0, done.stderr
    assert done.stdout == "42\n", done.stdout
    assert "pulling" in done.stderr, done.stderr
    again = glm.run("run", HUB_MODEL, "What is 17 + 25?")
    assert again.stdout == "42\n"
    assert "pulling" not in again.stderr, again.stderr
    piped = glm.run("run", HUB_MODEL, stdin="What is 12 + 30?")
    assert piped.stdout == "42\n", piped


def check_listing(glm: Glm) -> None:
    models = glm.json("list")["models"]
    assert [m["name"] for m in models] == [HUB_MODEL + ":latest"], models
    assert len(models[0]["commit"]) == 40
    shown = glm.json("show", HUB_MODEL)
    info = shown["model_info"]
    assert info["architecture"] == info["general.architecture"] == "glm4_moe_lite", info
    assert info["glm4_moe_lite.context_length"] == info["context_max"] == 4096, info
    loaded = glm.json("ps")["models"]
    assert [m["name"] for m in loaded] == [HUB_MODEL + ":latest"]
    for name in (HUB_MODEL, "GLM-org/GLM-tiny", "hf.co/" + HUB_MODEL, "https://huggingface.co/" + HUB_MODEL):
        assert glm.run("show", name).returncode == 0, name


def check_golden(glm: Glm, model: str, references: list) -> None:
    def ask(reference: dict) -> str:
        status, body = glm.api("POST", "/api/generate",
                               {"model": model, "prompt": reference["prompt"], "raw": True, "stream": False,
                                "options": {"num_predict": 256}})
        assert status == 200, body
        return json.loads(body)["response"]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, references))
    listed = 0
    for reference, answer in zip(references, answers):
        if answer == reference["text"]:
            continue
        print(f"{model} {reference['id']}: gap {reference['min_gap']}\n  want {reference['text']!r}\n  got  {answer!r}")
        assert reference["min_gap"] < 1e-4, "differs where the reference is sure"
        listed += 1
    print(f"{model}: {len(references) - listed} of {len(references)} answers equal transformers', {listed} near-ties differ")


def check_cli_answers(glm: Glm, model: str, references: list, held_out: dict) -> None:
    """What `glm run` prints is the reference's text behind </think>."""
    def is_one_turn(prompt: dict) -> bool:
        return len(prompt["messages"]) == 1 and not prompt.get("tools")

    chosen = [r for r in references if is_one_turn(held_out[r["id"]])]
    for reference in chosen:
        prompt = held_out[reference["id"]]
        think = "--think" if prompt["enable_thinking"] else "--no-think"
        done = glm.run("run", model, think, "--hide-thinking", prompt["messages"][0]["content"])
        want = reference["text"].split("</think>")[-1].strip()
        assert done.stdout.strip() == want, (reference["id"], done.stdout, want, done.stderr)
    print(f"{model}: {len(chosen)} answers through `glm run`")


def check_names(glm: Glm) -> None:
    glm.ok("pull", "TINY")  # one name, however it is written
    assert [m["name"] for m in glm.json("list")["models"]].count("tiny:latest") == 1
    glm.ok("cp", "tiny", "mine")
    assert glm.ok("run", "mine", "What is 23 + 45?") == "68\n"
    blobs = glm.blobs()
    glm.ok("rm", "tiny")
    assert glm.blobs() == blobs, "blobs that another model needs are gone"
    glm.ok("rm", "mine", "tiny:int4", HUB_MODEL)
    assert glm.blobs() == [], glm.blobs()
    assert glm.json("list")["models"] == []


def check_stop(glm: Glm) -> None:
    glm.ok("run", "tiny", "What is 99 + 1?")
    assert glm.json("ps")["models"]
    glm.ok("stop", "tiny")
    assert glm.json("ps")["models"] == []
    assert glm.daemon_pid() != 0
    glm.ok("stop", "--all")
    assert glm.daemon_pid() == 0
    glm.ok("stop", "--all")  # none runs: fine


def test(glm: Glm, hub: Hub) -> None:
    del hub
    held_out = {p["id"]: p for p in jsonl(GOLDEN / "heldout.jsonl")}
    bf16 = jsonl(GOLDEN / "greedy_bf16.jsonl")
    assert len(bf16) >= 200
    check_first_contact(glm)
    check_listing(glm)
    check_golden(glm, HUB_MODEL, bf16)
    check_cli_answers(glm, HUB_MODEL, bf16, held_out)
    for name in ("tiny", "tiny:int4"):
        glm.ok("pull", name)
    check_golden(glm, "tiny:int4", jsonl(GOLDEN / "greedy_int4.jsonl"))
    assert glm.ok("run", "tiny", "--kv-cache-type", "fp8", "What is 17 + 25?") == "42\n"
    check_names(glm)
    check_stop(glm)


if __name__ == "__main__":
    main(test, {HUB_MODEL: SOURCE / "models" / "glm-tiny"})
