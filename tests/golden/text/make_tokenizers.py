"""Makes tokenizers.json: what Hugging Face `tokenizers` answers for small tokenizers of our own.

    python tests/golden/text/make_tokenizers.py                  (needs `pip install tokenizers==0.23.3`)
    python tests/golden/text/make_tokenizers.py --show SUITE N   prints the n-th random text and its answers
    python tests/golden/text/make_tokenizers.py --diff FILE      compares with what a failed test has written

Each suite has a complete tokenizer.json (or names a file), a few cases to read: [text, ids, ids with
special tokens], and for 10,000 random texts one checksum for every 50. The texts are not stored: both
sides draw them from the same generator and the same lists, which the file carries under "alphabet"; all
code points are assigned in Unicode 14. What a checksum covers is in answers(). Training breaks ties as it
likes, so a new file has somewhat other vocabularies.
"""

import json
import pathlib
import struct
import sys
import unicodedata
import zlib

import tokenizers
from tokenizers import Tokenizer

from tokenizer_suites import CORPUS, copy, suites

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent.parent
TEXTS, BATCH = 10000, 50

# Blocks that are drawn from more often.
BLOCKS = [(0x20, 0x7E)] * 6 + [(0xA0, 0x17F), (0x370, 0x3FF), (0x400, 0x45F), (0x5D0, 0x5EA), (0x620, 0x64A),
                               (0x900, 0x96F), (0xAC00, 0xAC80), (0x3041, 0x30FF), (0x4E00, 0x4E80), (0x1F600, 0x1F64F),
                               (0x2000, 0x206F), (0x2150, 0x218B), (0x2460, 0x24FF), (0x300, 0x36F), (0x1D400, 0x1D455),
                               (0x1E00, 0x1EFF), (0xFB00, 0xFB06), (0xFF01, 0xFF5E), (0x0660, 0x0669), (0x1C80, 0x1C88)]
SPACES = [" ", " ", " ", "\n", "\n", "\t", "\r\n", "\r", "\u00a0", "\u3000", "\u2028", "\u0085", "\u200b", "\u180e",
          "\x0b", "\x1c"]
WORDS = ["'s", "'T", "'LL", "'\u017f", "It's", "don't", "I'M", "hello", " the", "Straße", "ǅ", "İstanbul", "ﬁne", "1234",
         "3.14", "２３", "٣٤", "½", "👨‍👩‍👧‍👦", "🇩🇪", "a\u0308", "가\u11a8", "中文。", "return 0;\n", "    ", "...\n\n", "</", "<|", "\x00"]


def ranges(points):
    out = []
    for c in points:
        if out and out[-1][1] == c - 1:
            out[-1][1] = c
        else:
            out.append([c, c])
    return out


def assigned():
    if unicodedata.unidata_version != "14.0.0":
        sys.exit("this needs a Python whose unicodedata is Unicode 14: 3.11")
    return [c for c in range(0x110000) if unicodedata.category(chr(c)) not in ("Cn", "Cs", "Co")]


def alphabet():
    points = assigned()
    known = set(points)
    blocks = [r for first, last in BLOCKS for r in ranges(c for c in range(first, last + 1) if c in known)]
    return {"words": WORDS, "spaces": SPACES, "blocks": blocks, "assigned": ranges(points)}


class Random:
    """SplitMix64: the same few lines are in tests/text/random_texts.h."""

    def __init__(self, seed):
        self.state = seed & (2**64 - 1)

    def below(self, n):
        self.state = (self.state + 0x9E3779B97F4A7C15) & (2**64 - 1)
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & (2**64 - 1)
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & (2**64 - 1)
        return ((z ^ (z >> 31)) >> 11) % n


def seed_of(name, n):
    return (zlib.crc32(name.encode()) << 32) + n


def draw_text(rng, alphabet, specials):
    out = []
    for _ in range(rng.below(13)):
        kind = rng.below(100)
        if kind < 25:
            out.append(alphabet["words"][rng.below(len(alphabet["words"]))])
        elif kind < 40:
            for _ in range(1 + rng.below(5)):
                out.append(alphabet["spaces"][rng.below(len(alphabet["spaces"]))])
        elif kind < 48:
            out.append(str(rng.below(10 ** (1 + rng.below(9)))))
        elif kind < 60 and specials:
            out.append(specials[rng.below(len(specials))])
        elif kind < 78:
            first, last = alphabet["blocks"][rng.below(len(alphabet["blocks"]))]
            for _ in range(1 + rng.below(6)):
                out.append(chr(first + rng.below(last - first + 1)))
        else:
            for _ in range(1 + rng.below(6)):
                first, last = alphabet["assigned"][rng.below(len(alphabet["assigned"]))]
                out.append(chr(first + rng.below(last - first + 1)))
    return "".join(out)


def draw_ids(rng, size):
    return [rng.below(size + 3) for _ in range(1 + rng.below(9))]


def answers(tokenizer, alphabet, suite, n):
    """The n-th text, and everything that is compared for it, in order."""
    rng = Random(seed_of(suite["name"], n))
    drawn = draw_text(rng, alphabet, suite["specials"])
    ids = tokenizer.encode(drawn, add_special_tokens=False).ids
    whole = tokenizer.encode(drawn, add_special_tokens=True).ids
    some = draw_ids(rng, suite["size"])
    decode = lambda ids, skip: tokenizer.decode(ids, skip_special_tokens=skip) if ids else ""
    return drawn, [ids, whole, decode(ids, False), decode(whole, True), some, decode(some, False), decode(some, True)]


def packed(answer):
    if isinstance(answer, str):
        data = answer.encode()
        return struct.pack("<I", len(data)) + data
    return struct.pack(f"<{len(answer) + 1}i", len(answer), *answer)


def checksums(tokenizer, alphabet, suite):
    out = []
    for first in range(0, TEXTS, BATCH):
        crc = 0
        for n in range(first, first + BATCH):
            for answer in answers(tokenizer, alphabet, suite, n)[1]:
                crc = zlib.crc32(packed(answer), crc)
        out.append(f"{crc:08x}")
    return "".join(out)


def cases(tokenizer, specials, name):
    alpha = alphabet()
    texts = ["", " ", "\n", "a", "a" * 50, " " * 40, "\n" * 9, CORPUS[:500]]
    texts += [draw_text(Random(seed_of("case " + name, n)), alpha, specials) for n in range(12)]
    out = []
    for t in texts:
        ids = tokenizer.encode(t, add_special_tokens=False).ids
        whole = tokenizer.encode(t, add_special_tokens=True).ids
        out.append([t, ids] + ([whole] if whole != ids else []))
    return out


def all_suites():
    yield from ((name, copy(spec), None, specials) for name, spec, specials in suites())
    tiny = json.loads((ROOT / TINY).read_text())
    yield "glm_tiny", tiny, TINY, [t["content"] for t in tiny["added_tokens"]]


TINY = "models/glm-tiny/tokenizer.json"


def with_prefixes(specials):
    return specials * 3 + [s[:len(s) // 2] for s in specials if len(s) > 1]


def load(name):
    file = json.loads((HERE / "tokenizers.json").read_text())
    suite = next(s for s in file["suites"] if s["name"] == name)
    spec = json.loads((ROOT / suite["file"]).read_text()) if "file" in suite else suite["tokenizer"]
    return Tokenizer.from_str(json.dumps(spec)), file["alphabet"], suite


def show(name, n):
    tokenizer, alpha, suite = load(name)
    text, answer = answers(tokenizer, alpha, suite, int(n))
    print(json.dumps([text] + answer))


def diff(path):
    """Lines of [suite, n, text, answers...], as the test writes them."""
    for line in filter(None, pathlib.Path(path).read_text().split("\n")):
        name, n, text, *got = json.loads(line)
        tokenizer, alpha, suite = load(name) if "tokenizer" not in locals() else (tokenizer, alpha, suite)
        want_text, want = answers(tokenizer, alpha, suite, n)
        if [text] + got != [want_text] + want:
            print(n, json.dumps(want_text), "\n got", json.dumps([text] + got), "\nwant", json.dumps([want_text] + want))


def main():
    if sys.argv[1:2] == ["--show"]:
        return show(*sys.argv[2:])
    if sys.argv[1:2] == ["--diff"]:
        return diff(sys.argv[2])
    alpha = alphabet()
    out = {"made_by": "tests/golden/text/make_tokenizers.py", "tokenizers": tokenizers.__version__,
           "texts": TEXTS, "batch": BATCH, "alphabet": alpha, "suites": []}
    for name, spec, path, specials in all_suites():
        tokenizer = Tokenizer.from_str(json.dumps(spec))
        suite = {"name": name, **({"file": path} if path else {"tokenizer": spec}), "specials": with_prefixes(specials),
                 "size": tokenizer.get_vocab_size()}
        suite["checksums"] = checksums(tokenizer, alpha, suite)
        suite["cases"] = cases(tokenizer, suite["specials"], name)
        out["suites"].append(suite)
    path = HERE / "tokenizers.json"
    rows = json.dumps(out, ensure_ascii=False, separators=(",", ":"))
    path.write_text(rows.replace('{"name":', '\n{"name":').replace('"cases":', '\n"cases":') + "\n")
    print(path.name, path.stat().st_size, "bytes", len(out["suites"]), "suites", file=sys.stderr)


if __name__ == "__main__":
    main()
