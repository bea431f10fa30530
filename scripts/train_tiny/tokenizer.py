"""Writes the tokenizer files of glm-tiny: a byte-level BPE of the GLM kind, small enough to read.

A merge is allowed only inside a piece that starts with a space or is punctuation, so a bare word is always its
letters, one token each, and so is every digit: reversing and adding are then about tokens the model can see.
The merge list is written as the GLM converter writes it: every split of a token into two known tokens.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from pathlib import Path

SPLIT_REGEX = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
               r"|\s*[\r\n]+|\s+(?!\S)|\s+")

ADDED_TOKENS = [
    "<|endoftext|>", "[MASK]", "[gMASK]", "[sMASK]", "<sop>", "<eop>", "<|system|>", "<|user|>", "<|assistant|>",
    "<|observation|>", "<|begin_of_image|>", "<|end_of_image|>", "<|begin_of_video|>", "<|end_of_video|>",
    "<|begin_of_audio|>", "<|end_of_audio|>", "<|begin_of_transcription|>", "<|end_of_transcription|>",
    "<|code_prefix|>", "<|code_middle|>", "<|code_suffix|>", "<think>", "</think>", "<tool_call>", "</tool_call>",
    "<tool_response>", "</tool_response>", "<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>", "/nothink",
    "<|begin_of_box|>", "<|end_of_box|>", "<|image|>", "<|video|>",
]
NOT_SPECIAL = range(21, 32)  # the tags of reasoning and tools are text to whoever skips special tokens

MERGES = 228
VOCAB_SIZE = 544  # rows of the embedding: the tokens and a few padding rows nobody may sample
MODEL_MAX_LENGTH = 4096

# What the merges are learned from: the fixed texts of the template, which every tool prompt carries, and the small
# words of the questions. Words that are somebody's data (names, cities) are left out and stay letters.
TEMPLATE_TEXT = r"""
# Tools
You may call one or more functions to assist with the user query.
You are provided with function signatures within <tools></tools> XML tags:
<tools>
{"type": "function", "function": {"name": "x", "description": "Get", "parameters": {"type": "object", "properties": {"a": {"type": "string", "description": "The"}, "b": {"type": "integer"}}, "required": ["a", "b"]}}}
{"type": "function", "function": {"name": "x", "description": "Get", "parameters": {"type": "object", "properties": {}, "required": []}}}
</tools>
For each function call, output the function name and arguments within the following XML format:
{function-name}{arg-key-1}{arg-value-1}{arg-key-2}{arg-value-2}...
"""
QUESTION_TEXT = r"""
What is the sum of the two numbers? How much is 1 + 2? and 1 - 2? from minus plus = ? Which number is larger, smaller?
the word "a". the letters of the word in upper case. How many letters are in the word "a"? the first letter of "a"?
the last letter of the word? the capital of the opposite of a small language model. I use the tool and give the answer.
call the tool with x set to y and x set to y for me. The ones: 7 + 5 = 12, write 2, carry 1. The tens: 1 + 2 = 4, no carry.
x -> y x -> y
"""


def byte_alphabet() -> dict[int, str]:
    """The GPT-2 byte-to-character map, in its id order: printable bytes first, the others after them."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [b for b in range(256) if b not in printable]
    return {b: chr(b) for b in printable} | {b: chr(256 + n) for n, b in enumerate(others)}


def pieces_of(text: str, alphabet: dict[int, str]) -> Counter[tuple[str, ...]]:
    """Counts the pre-tokens of an ASCII text, each as its byte characters."""
    ascii_regex = SPLIT_REGEX.replace(r"\p{L}", "A-Za-z").replace(r"\p{N}", "0-9")
    ascii_regex = ascii_regex.replace("?A-Za-z+", "?[A-Za-z]+").replace("|0-9{1,3}", "|[0-9]{1,3}")
    return Counter(tuple(alphabet[b] for b in piece.encode("ascii")) for piece in re.findall(ascii_regex, text))


def may_merge(joined: str) -> bool:
    """True for punctuation alone, for a newline after it, and for a space with what follows it."""
    space, newline = "\u0120", "\u010a"
    head, rest = joined[0], joined[1:]
    if any(c.isdigit() for c in joined):
        return False
    if head.isascii() and head.isalpha():
        return False
    if all(c == space for c in joined):
        return False
    if rest.isascii() and rest.isalpha():
        return head == space
    return not any(c.isascii() and c.isalpha() for c in joined) and (newline not in joined[:-1])


def learn_tokens(count: int) -> list[str]:
    """Byte-level BPE training with may_merge as the gate; ties go to the smaller text, so the result is one."""
    alphabet = byte_alphabet()
    pieces: Counter[tuple[str, ...]] = Counter()
    for text, weight in ((TEMPLATE_TEXT, 3), (QUESTION_TEXT, 2)):
        for line in text.strip().splitlines(keepends=True):
            for piece, n in pieces_of(line, alphabet).items():
                pieces[piece] += n * weight
    for letter in "abcdefghijklmnopqrstuvwxyz":  # spelled-out words need every letter after a space
        pieces[("\u0120", letter)] += 50
    tokens: list[str] = []
    while len(tokens) < count:
        pairs: Counter[tuple[str, str]] = Counter()
        for piece, n in pieces.items():
            for pair in zip(piece, piece[1:]):
                if may_merge("".join(pair)):
                    pairs[pair] += n
        if not pairs:
            raise SystemExit(f"the corpus yields only {len(tokens)} merges, wanted {count}")
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        tokens.append("".join(best))
        merged: Counter[tuple[str, ...]] = Counter()
        for piece, n in pieces.items():
            out: list[str] = []
            for part in piece:
                if out and (out[-1], part) == best:
                    out[-1] += part
                else:
                    out.append(part)
            merged[tuple(out)] += n
        pieces = merged
    return tokens


def tokenizer_json() -> dict:
    alphabet = byte_alphabet()
    tokens = list(alphabet.values()) + learn_tokens(MERGES)
    vocab = {token: n for n, token in enumerate(tokens)}
    if len(vocab) != len(tokens):
        raise SystemExit("a token was learned twice")
    merges: list[list[str]] = []
    for token in tokens[256:]:
        splits = [(token[:n], token[n:]) for n in range(1, len(token))]
        known = [pair for pair in splits if pair[0] in vocab and pair[1] in vocab]
        merges += [list(pair) for pair in sorted(known, key=lambda pair: (vocab[pair[0]], vocab[pair[1]]))]
    base = len(tokens)
    added = [{"id": base + n, "content": text, "single_word": False, "lstrip": False, "rstrip": False,
              "normalized": False, "special": n not in NOT_SPECIAL} for n, text in enumerate(ADDED_TOKENS)]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    prefix = ["[gMASK]", "<sop>"]
    single = [{"SpecialToken": {"id": text, "type_id": 0}} for text in prefix] + [{"Sequence": {"id": "A", "type_id": 0}}]
    pair = single + [{"Sequence": {"id": "B", "type_id": 1}}]
    special = {text: {"id": text, "ids": [base + ADDED_TOKENS.index(text)], "tokens": [text]} for text in prefix}
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": SPLIT_REGEX}, "behavior": "Isolated", "invert": False}, byte_level]},
        "post_processor": {"type": "Sequence", "processors": [
            dict(byte_level, trim_offsets=False),
            {"type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": special}]},
        "decoder": dict(byte_level, add_prefix_space=True, use_regex=True),
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": True,
                  "vocab": vocab, "merges": merges},
    }


def tokenizer_config() -> dict:
    return {
        "added_tokens_decoder": {str(entry["id"]): {k: entry[k] for k in (
            "content", "lstrip", "normalized", "rstrip", "single_word", "special")}
            for entry in tokenizer_json()["added_tokens"]},
        "clean_up_tokenization_spaces": False, "do_lower_case": False, "eos_token": "<|endoftext|>",
        "extra_special_tokens": {}, "model_max_length": MODEL_MAX_LENGTH, "pad_token": "<|endoftext|>",
        "padding_side": "left", "remove_space": False, "tokenizer_class": "PreTrainedTokenizerFast",
    }


def added_ids() -> dict[str, int]:
    return {text: 256 + MERGES + n for n, text in enumerate(ADDED_TOKENS)}


def write_tokenizer(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in (("tokenizer.json", tokenizer_json()), ("tokenizer_config.json", tokenizer_config())):
        (folder / name).write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    source = Path(__file__).with_name("chat_template.jinja").read_text(encoding="utf-8")
    (folder / "chat_template.jinja").write_text(source, encoding="utf-8")


if __name__ == "__main__":
    write_tokenizer(Path(sys.argv[1]))
