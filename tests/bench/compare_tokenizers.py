"""Encodes the same texts with Hugging Face `tokenizers` and with ours, one thread each, in one run.

    python tests/bench/compare_tokenizers.py build/cpu/bench/tokenizer_bench TOKENIZER.json TEXT...

Prints MB/s of both and the ratio, and fails where it is below 1. The ids must be the same in number.
Ours and theirs take turns, so that a busy machine is busy for both; the best of each counts.
"""

import json
import os
import subprocess
import sys
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"

from tokenizers import Tokenizer  # noqa: E402

ROUNDS = 3


def theirs(tokenizer, text):
    best = 1e9
    for _ in range(5):
        before = time.perf_counter()
        ids = tokenizer.encode_batch_fast([text], add_special_tokens=False)[0].ids
        best = min(best, time.perf_counter() - before)
    return len(text.encode()) / 1e6 / best, len(ids)


def main():
    program, path, *texts = sys.argv[1:]
    tokenizer = Tokenizer.from_file(path)
    good = True
    for name in texts:
        with open(name, encoding="utf-8", newline="") as file:
            text = file.read()
        best_ours = best_theirs = 0
        for _ in range(ROUNDS):
            speed, count = theirs(tokenizer, text)
            best_theirs = max(best_theirs, speed)
            line = json.loads(subprocess.run([program, path, name], check=True, capture_output=True).stdout)
            best_ours = max(best_ours, line["megabytes_per_s"])
            if line["tokens"] != count:
                sys.exit(f"{name}: {line['tokens']} tokens, wanted {count}")
        ratio = best_ours / best_theirs
        print(f"{os.path.basename(name):20} ours {best_ours:7.1f} MB/s   theirs {best_theirs:7.1f} MB/s   ratio {ratio:5.2f}")
        good = good and ratio >= 1
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
