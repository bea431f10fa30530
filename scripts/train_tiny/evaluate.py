"""Greedy decoding of the held-out prompts, accuracy per task, and how often the MTP layer guesses the next token."""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor

import data
from config import EOS_IDS, PAD_ID
from model import (HEADS, LAYERS, MTP, NOPE, ROPE, VALUE, Batch, Cache, Weights, full_batch, logits_of, main_model,
                   mtp_model, rope_tables)
from tokenizer import ADDED_TOKENS, MERGES

SAMPLED_ROWS = 256 + MERGES + len(ADDED_TOKENS)  # rows after these are padding
ARGUMENT = re.compile(r"<arg_key>(.*?)</arg_key><arg_value>(.*?)</arg_value>", re.S)


@torch.inference_mode()
def greedy(weights: Weights, prompts: list[list[int]], limit: int, device: str) -> list[list[int]]:
    """Continues every prompt up to an end token (which is kept) or to the limit."""
    size, longest = len(prompts), max(map(len, prompts))
    capacity = longest + limit
    caches = [Cache(torch.zeros(size, HEADS, capacity, NOPE + ROPE, device=device),
                    torch.zeros(size, HEADS, capacity, VALUE, device=device)) for _ in range(LAYERS)]
    cos, sin = rope_tables(capacity, device)
    ids = torch.full((size, longest), PAD_ID, device=device)
    for row, prompt in enumerate(prompts):
        ids[row, : len(prompt)] = torch.tensor(prompt, device=device)
    lengths = torch.tensor([len(p) for p in prompts], device=device)

    def run(tokens: Tensor, positions: Tensor) -> Tensor:
        flat = positions.flatten()
        batch = Batch(size, tokens.shape[1], cos[flat], sin[flat], positions)
        hidden, _ = main_model(tokens.flatten(), weights, batch, caches)
        return hidden.view(size, tokens.shape[1], -1)

    hidden = run(ids, torch.arange(longest, device=device).expand(size, -1))
    last = hidden[torch.arange(size, device=device), lengths - 1]
    outputs: list[list[int]] = [[] for _ in range(size)]
    open_rows = set(range(size))
    for step in range(limit):
        chosen = logits_of(last, weights)[:, :SAMPLED_ROWS].argmax(-1)
        for row, token in enumerate(chosen.tolist()):
            if row in open_rows:
                outputs[row].append(token)
                if token in EOS_IDS:
                    open_rows.discard(row)
        if not open_rows:
            break
        last = run(chosen[:, None], (lengths + step)[:, None])[:, 0]
    return outputs


@torch.inference_mode()
def mtp_hits(weights: Weights, prompts: list[list[int]], outputs: list[list[int]], device: str) -> tuple[int, int]:
    """Drafts right and drafts made over the generated tokens: each draft is the second token after a known state."""
    sequences = [p + o for p, o in zip(prompts, outputs)]
    longest = max(map(len, sequences))
    ids = torch.full((len(sequences), longest), PAD_ID, device=device)
    judged = torch.zeros(len(sequences), longest, dtype=torch.bool, device=device)
    for row, (prompt, sequence) in enumerate(zip(prompts, sequences)):
        ids[row, : len(sequence)] = torch.tensor(sequence, device=device)
        judged[row, len(prompt) - 1: len(sequence) - 2] = True
    batch = full_batch(len(sequences), longest, device)
    hidden, _ = main_model(ids.flatten(), weights, batch)
    drafted, _ = mtp_model(hidden, ids.roll(-1, 1).flatten(), weights, batch)
    guesses = logits_of(drafted, weights)[:, :SAMPLED_ROWS].argmax(-1).view_as(ids)
    hits = (guesses == ids.roll(-2, 1)) & judged
    return int(hits.sum()), int(judged.sum())


def typed(text: str, kind: str | None) -> Any:
    if kind == "string" or kind is None:
        return text
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def parse_calls(text: str, tools: list[dict[str, Any]]) -> list[dict[str, Any]] | None:
    """The tool calls of an answer, or None when it is not well formed from its first to its last character."""
    schemas = {tool["function"]["name"]: tool["function"]["parameters"]["properties"] for tool in tools}
    calls: list[dict[str, Any]] = []
    while text:
        match = re.match(r"<tool_call>([^<]*)((?:<arg_key>[^<]*</arg_key><arg_value>.*?</arg_value>)*)</tool_call>", text, re.S)
        if not match:
            return None
        types = schemas.get(match[1], {})
        arguments = {key: typed(value, types.get(key, {}).get("type")) for key, value in ARGUMENT.findall(match[2])}
        calls.append({"name": match[1], "arguments": arguments})
        text = text[match.end():]
    return calls


def answer_of(text: str, enable_thinking: bool) -> str | None:
    """What follows the reasoning; None when the reasoning never ends."""
    if enable_thinking:
        _, closed, text = text.partition("</think>")
        if not closed:
            return None
    return text.strip()


def is_right(text: str, sample: data.Sample) -> bool:
    answer = answer_of(text, sample.enable_thinking)
    if answer is None:
        return False
    if isinstance(sample.expected, list):
        return parse_calls(answer, sample.tools or []) == sample.expected
    return answer == sample.expected


def evaluate(weights: Weights, tokenizer: Tokenizer, device: str, count: int, batch_size: int = 520,
             tasks: list[str] | None = None, samples_of: Any = data.held_out_samples) -> dict[str, Any]:
    """Accuracy per task (and with/without thinking), MTP acceptance, and a few wrong answers to look at."""
    report: dict[str, Any] = {"tasks": {}, "wrong": {}}
    hits = drafts = 0
    for task in tasks or list(data.TASKS):
        samples = sorted(samples_of(task, count), key=lambda s: len(data.render_prompt(s)))
        prompts = [tokenizer.encode(data.render_prompt(s), add_special_tokens=False).ids for s in samples]
        right = {True: [0, 0], False: [0, 0]}
        task_hits = task_drafts = 0
        wrong: list[str] = []
        for start in range(0, len(samples), batch_size):
            part = prompts[start:start + batch_size]
            outputs = greedy(weights, part, 224, device)
            got, made = mtp_hits(weights, part, outputs, device)
            task_hits, task_drafts = task_hits + got, task_drafts + made
            for sample, ids in zip(samples[start:], outputs):
                ended = ids[-1] in EOS_IDS
                text = tokenizer.decode(ids[:-1] if ended else ids, skip_special_tokens=False)
                good = ended and is_right(text, sample)
                right[sample.enable_thinking][0] += good
                right[sample.enable_thinking][1] += 1
                if not good and len(wrong) < 8:
                    wrong.append(f"{sample.messages[-1]['content']} -> {text} (expected {sample.expected})")
        good, total = (right[True][n] + right[False][n] for n in (0, 1))
        report["tasks"][task] = {"prompts": total, "accuracy": round(good / total, 4),
                                 "thinking": round(right[True][0] / max(right[True][1], 1), 4),
                                 "direct": round(right[False][0] / max(right[False][1], 1), 4),
                                 "mtp_acceptance": round(task_hits / max(task_drafts, 1), 4)}
        report["wrong"][task] = wrong
        hits, drafts = hits + task_hits, drafts + task_drafts
    report["mtp_acceptance"] = round(hits / max(drafts, 1), 4)
    report["mtp_drafts"] = drafts
    return report


def print_report(report: dict[str, Any], title: str) -> None:
    print(title)
    for task, row in report["tasks"].items():
        print(f"  {task:12s} {row['accuracy']:.4f} of {row['prompts']} (thinking {row['thinking']:.4f}, "
              f"direct {row['direct']:.4f}), MTP {row['mtp_acceptance']:.4f}")
    print(f"  MTP acceptance {report['mtp_acceptance']:.4f} of {report['mtp_drafts']} drafts", flush=True)


def main() -> None:
    from export import read_repository

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("repository", type=Path)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--count", type=int, default=data.HELD_OUT_PER_TASK)
    parser.add_argument("--batch", type=int, default=130)
    parser.add_argument("--tasks", nargs="*")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    weights = {name: tensor.to(arguments.device) for name, tensor in read_repository(arguments.repository).items()}
    tokenizer = Tokenizer.from_file(str(arguments.repository / "tokenizer.json"))
    report = evaluate(weights, tokenizer, arguments.device, arguments.count, arguments.batch, arguments.tasks)
    print_report(report, str(arguments.repository))
    for task, lines in report["wrong"].items():
        for line in lines:
            print(f"  wrong {task}: {line!r}")
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
