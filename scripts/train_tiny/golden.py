"""Writes tests/golden/tiny: held-out prompts, greedy answers by transformers, logits, scores and file hashes.

Everything here is made with transformers' Glm4MoeLiteForCausalLM in float32 on the stored weights; int4 weights are
dequantized first, rounded as compressed-tensors does: bf16(q * scale).
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer

import data
import quantize
from config import EOS_IDS, write_config
from export import read_repository, to_repository
from model import full_batch, logits_of, main_model
from repository import sha256_of, write_tensors

OTHERS_PER_TASK = 65  # lines of the tasks that are not judged one by one
MAX_NEW_TOKENS = 256
GREEDY_PER_TASK = {task: 20 for task in data.JUDGED_TASKS}
LOGIT_PROMPTS = ["What is 17 + 25?", 'Reverse the word "planet".', "What is the capital of France?"]


def held_out() -> dict[str, list[data.Sample]]:
    return {task: data.held_out_samples(task, data.HELD_OUT_PER_TASK if task in data.JUDGED_TASKS else OTHERS_PER_TASK)
            for task in data.TASKS}


def compact(content: Any) -> str:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


def write_held_out(folder: Path) -> None:
    lines: list[str] = []
    for task, samples in held_out().items():
        for n, sample in enumerate(samples):
            line: dict[str, Any] = {"task": task, "id": f"{task}-{n:03d}", "messages": sample.messages}
            if sample.tools:
                line["tools"] = sample.tools
            lines.append(compact(line | {"enable_thinking": sample.enable_thinking, "expected": sample.expected}))
    (folder / "heldout.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"heldout.jsonl: {len(lines)} prompts")


def load_reference(repository: Path) -> Any:
    """The transformers model of a repository, its weights dequantized if they are packed, in float32."""
    with tempfile.TemporaryDirectory() as scratch:
        plain = Path(scratch)
        write_tensors(plain, to_repository(read_repository(repository)))
        write_config(plain)
        model = transformers.AutoModelForCausalLM.from_pretrained(plain, dtype=torch.float32)
    assert type(model).__name__ == "Glm4MoeLiteForCausalLM"
    return model.eval()


@torch.inference_mode()
def write_greedy(folder: Path, name: str, model: Any, tokenizer: Tokenizer) -> None:
    lines: list[str] = []
    smallest = float("inf")
    for task, samples in held_out().items():
        count = GREEDY_PER_TASK.get(task, 10)
        stride = len(samples) // count
        for n in range(0, count * stride, stride):
            prompt = data.render_prompt(samples[n])
            ids = tokenizer.encode(prompt, add_special_tokens=False).ids
            made = model.generate(torch.tensor([ids]), attention_mask=torch.ones(1, len(ids), dtype=torch.long), do_sample=False,
                                  max_new_tokens=MAX_NEW_TOKENS, eos_token_id=EOS_IDS, return_dict_in_generate=True,
                                  output_logits=True)
            output = made.sequences[0, len(ids):].tolist()
            top = torch.stack([step[0] for step in made.logits]).topk(2, dim=-1).values
            gap = float((top[:, 0] - top[:, 1]).min())
            smallest = min(smallest, gap)
            shown = output[:-1] if output[-1] in EOS_IDS else output
            lines.append(compact({
                "id": f"{task}-{n:03d}", "prompt": prompt, "prompt_ids": ids, "output_ids": output,
                "text": tokenizer.decode(shown, skip_special_tokens=False), "min_gap": round(gap, 5)}))
    (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{name}: {len(lines)} answers, smallest gap {smallest:.4f}")


@torch.inference_mode()
def write_logits(folder: Path, model: Any, tokenizer: Tokenizer) -> None:
    out: list[dict[str, Any]] = []
    for question in LOGIT_PROMPTS:
        prompt = data.render_prompt(data.Sample("", [data.user(question)], {}, "", None, False))
        ids = tokenizer.encode(prompt, add_special_tokens=False).ids
        logits = model(torch.tensor([ids])).logits[0, -1]
        out.append({"prompt": prompt, "prompt_ids": ids, "logits": [round(v, 6) for v in logits.tolist()]})
    (folder / "logits.json").write_text(json.dumps({"prompts": out}, ensure_ascii=False) + "\n", encoding="utf-8")


@torch.inference_mode()
def largest_difference(model: Any, repository: Path, tokenizer: Tokenizer) -> float:
    """Between the logits of transformers and of the training code, over whole held-out conversations."""
    weights = read_repository(repository)
    worst = 0.0
    for samples in held_out().values():
        for sample in samples[:5]:
            ids = torch.tensor(tokenizer.encode(data.render_training(sample), add_special_tokens=False).ids)
            hidden, _ = main_model(ids, weights, full_batch(1, len(ids), "cpu"))
            worst = max(worst, float((model(ids[None]).logits[0] - logits_of(hidden, weights)).abs().max()))
    return worst


def write_format_hashes(folder: Path, repository: Path) -> None:
    hashes: dict[str, dict[str, str]] = {}
    for form in quantize.FORMATS:
        if form == "ct-int4":  # committed as a repository of its own
            continue
        with tempfile.TemporaryDirectory() as scratch:
            out = Path(scratch) / form
            quantize.write_quantized(repository, out, form)
            hashes[form] = {path.name: sha256_of(path) for path in sorted(out.iterdir())}
    (folder / "format_hashes.json").write_text(json.dumps(hashes, indent=1) + "\n")


def write_scores(folder: Path, report: dict[str, Any], differences: dict[str, float]) -> None:
    scores = {
        "made_with": {"evaluation": f"evaluate.py, float32, torch {report['torch']}",
                      "parity": f"torch {torch.__version__}, transformers {transformers.__version__}"},
        "training": {"steps": report["steps"], "tokens": report["tokens"]},
        "largest_logit_difference_to_transformers": {name: float(f"{value:.3g}") for name, value in differences.items()},
    }
    for name in ("bf16", "int4"):
        scores[name] = {"tasks": report[name]["tasks"], "mtp_acceptance": report[name]["mtp_acceptance"],
                        "mtp_drafts": report[name]["mtp_drafts"]}
    (folder / "scores_pytorch.json").write_text(json.dumps(scores, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bf16", type=Path, required=True)
    parser.add_argument("--int4", type=Path, required=True)
    parser.add_argument("--report", type=Path, required=True, help="report.json of train.py")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer.from_file(str(arguments.bf16 / "tokenizer.json"))
    write_held_out(arguments.out)
    write_format_hashes(arguments.out, arguments.bf16)
    reference = load_reference(arguments.bf16)
    write_logits(arguments.out, reference, tokenizer)
    differences = {"bf16": largest_difference(reference, arguments.bf16, tokenizer)}
    write_greedy(arguments.out, "greedy_bf16.jsonl", reference, tokenizer)
    reference = load_reference(arguments.int4)
    differences["int4"] = largest_difference(reference, arguments.int4, tokenizer)
    write_greedy(arguments.out, "greedy_int4.jsonl", reference, tokenizer)
    print("largest logit difference", differences)
    write_scores(arguments.out, json.loads(arguments.report.read_text()), differences)


if __name__ == "__main__":
    main()
