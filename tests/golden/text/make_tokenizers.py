"""Makes tokenizers.json: what Hugging Face `tokenizers` answers for small tokenizers of our own.

    python tests/golden/text/make_tokenizers.py           (needs `pip install tokenizers`)

Each suite has a complete tokenizer.json and cases [text, ids, ids with special tokens]; suites that
name a file instead of a tokenizer (the bundled tiny model) hold only the cases. Texts are random but
seeded: assigned code points, runs of white space, digits, emoji, CJK, pieces of the added tokens.
"""

import json
import pathlib
import random
import sys
import unicodedata

import tokenizers
from tokenizers import Tokenizer, trainers

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent.parent
SEED = 20261121

GLM = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
       r"|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN = GLM.replace(r"\p{N}{1,3}", r"\p{N}")
O200K = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
         r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
         r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")

CORPUS = """The quick brown fox jumps over the lazy dog. It's what we've said: they'll do it, won't they?
def main(argc, argv):\n    for i in range(10):\n        print("hello", i, 3.14159, 0x1F)\n\n    return 0\n
Größe, Straße, naïve façade, Ελληνικά, русский текст, 中文字符测试, 日本語テキスト, 한국어, עברית, العربية, हिन्दी
1234567890 12 345 6789 100000 2024-11-21T09:32:00Z 😀😃🎉👨‍👩‍👧‍👦 🇩🇪 ½ ² Ⅷ ① \u2028\u00a0\u3000 \t\t tab \r\n
{"name": "get_weather", "arguments": {"city": "Paris", "days": 2}} <tool_call>f</tool_call> a_b-c/d\\e
""" * 3


def byte_level(**kw):
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False, **kw}


def split(pattern, behavior="Isolated", invert=False):
    return {"type": "Split", "pattern": pattern, "behavior": behavior, "invert": invert}


def sequence(*parts):
    return {"type": "Sequence", "pretokenizers": list(parts)}


def added(id, content, **kw):
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {"id": id, "content": content, **flags, **kw}


def blank(pre_tokenizer, normalizer=None):
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": normalizer,
            "pre_tokenizer": pre_tokenizer, "post_processor": None, "decoder": byte_level(),
            "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                      "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False,
                      "ignore_merges": False, "vocab": {}, "merges": []}}


def train(spec, vocab_size):
    tokenizer = Tokenizer.from_str(json.dumps(spec))
    alphabet = [c for c in tokenizers.pre_tokenizers.ByteLevel.alphabet()]
    trainer = trainers.BpeTrainer(vocab_size=vocab_size, initial_alphabet=sorted(alphabet), show_progress=False,
                                  special_tokens=[])
    tokenizer.train_from_iterator(CORPUS.splitlines(keepends=True), trainer)
    out = json.loads(tokenizer.to_str())
    return out


def tiktoken_merges(spec):
    """Every split of a token into two known ones, ordered by the id of the result, as GLM's file has it."""
    vocab = spec["model"]["vocab"]
    by_id = sorted(vocab, key=vocab.get)
    spec["model"]["merges"] = [[t[:i], t[i:]] for t in by_id if len(t) > 1 for i in range(1, len(t))
                               if t[:i] in vocab and t[i:] in vocab]


def suites():
    glm = train(blank(sequence(split({"Regex": GLM}), byte_level())), 700)
    tiktoken_merges(glm)
    glm["model"]["ignore_merges"] = True
    base = len(glm["model"]["vocab"])
    names = ["<|endoftext|>", "[MASK]", "[gMASK]", "[sMASK]", "<sop>", "<eop>", "<|system|>", "<|user|>",
             "<|assistant|>", "<|observation|>", "<think>", "</think>", "<tool_call>", "</tool_call>", "<arg_key>",
             "</arg_key>", "<arg_value>", "</arg_value>", "/nothink"]
    glm["added_tokens"] = [added(base + i, n, special=not n.startswith(("<think", "</", "<tool", "<arg", "/")))
                           for i, n in enumerate(names)]
    glm["post_processor"] = {"type": "Sequence", "processors": [byte_level(trim_offsets=False), {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "[gMASK]", "type_id": 0}}, {"SpecialToken": {"id": "<sop>", "type_id": 0}},
                   {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
        "special_tokens": {n: {"id": n, "ids": [base + names.index(n)], "tokens": [n]} for n in ("[gMASK]", "<sop>")}}]}
    yield "glm", glm, names

    qwen = train(blank(sequence(split({"Regex": QWEN}), byte_level()), {"type": "NFC"}), 500)
    base = len(qwen["model"]["vocab"])
    names = ["<|im_start|>", "<|im_end|>", "<|im_"]
    qwen["added_tokens"] = [added(base + i, n) for i, n in enumerate(names)]
    yield "qwen_nfc", qwen, names

    o200k = train(blank(sequence(split({"Regex": O200K}), byte_level())), 500)
    yield "o200k", o200k, []

    gpt2 = train(blank(byte_level(use_regex=True, add_prefix_space=True)), 400)
    base = len(gpt2["model"]["vocab"])
    names = ["<mask>", "<word>", "<Both>", "  ", "é"]
    gpt2["added_tokens"] = [added(base, "<mask>", lstrip=True), added(base + 1, "<word>", single_word=True),
                            added(base + 2, "<Both>", lstrip=True, rstrip=True, normalized=True, special=False),
                            added(base + 3, "  ", special=False), added(base + 4, "é", single_word=True)]
    gpt2["post_processor"] = {
        "type": "TemplateProcessing", "single": [{"Sequence": {"id": "A", "type_id": 0}},
                                                 {"SpecialToken": {"id": "<mask>", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
        "special_tokens": {"<mask>": {"id": "<mask>", "ids": [base, base], "tokens": ["<mask>", "<mask>"]}}}
    yield "gpt2_flags", gpt2, names

    deepseek = train(blank(sequence(
        split({"Regex": r"\p{N}{1,3}"}), split({"Regex": "[一-龥぀-ゟ゠-ヿ]+"}),
        split({"Regex": r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
                        r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"}), byte_level())), 450)
    base = len(deepseek["model"]["vocab"])
    deepseek["added_tokens"] = [added(base, "<｜end▁of▁sentence｜>")]
    yield "deepseek", deepseek, ["<｜end▁of▁sentence｜>"]

    lower = train(blank(sequence({"type": "Digits", "individual_digits": True}, split({"String": " "}, "MergedWithNext"),
                                 byte_level()),
                        {"type": "Sequence", "normalizers": [
                            {"type": "Strip", "strip_left": True, "strip_right": False}, {"type": "NFKC"},
                            {"type": "Lowercase"}, {"type": "Replace", "pattern": {"String": "ss"}, "content": "ß"},
                            {"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": " "},
                            {"type": "Prepend", "prepend": "▁"}]}), 400)
    base = len(lower["model"]["vocab"])
    lower["added_tokens"] = [added(base, "<STOP>", normalized=True), added(base + 1, "Raw")]
    yield "normalizers", lower, ["<STOP>", "<stop>", "Raw"]

    for behavior in ("Removed", "MergedWithPrevious", "Contiguous"):
        for invert in (False, True):
            spec = train(blank(sequence(split({"Regex": r"[\s,.]|\d"}, behavior, invert),
                                        {"type": "Digits", "individual_digits": False}, byte_level())), 300)
            yield f"split_{behavior}_{'gaps' if invert else 'matches'}", spec, []

    # No byte alphabet in front: characters without a token are unknown, fused, or bytes.
    plain = blank(None)
    plain["model"]["vocab"] = {t: i for i, t in enumerate(["<unk>", "a", "b", "c", "ab", "abc", "é", "中", " "])}
    plain["model"]["merges"] = ["a b", "ab c"]
    plain["model"]["unk_token"] = "<unk>"
    yield "unknown", json.loads(json.dumps(plain)), ["abc", "ab"]
    plain["model"]["fuse_unk"] = True
    yield "unknown_fused", json.loads(json.dumps(plain)), ["abc", "ab"]
    vocab = plain["model"]["vocab"]
    for byte in range(0x80, 0x100):
        vocab[f"<0x{byte:02X}>"] = len(vocab)
    plain["model"]["byte_fallback"] = True
    yield "byte_fallback", json.loads(json.dumps(plain)), ["abc", "ab", "xyz"]


# Blocks that were complete by Unicode 13, so that differing Unicode versions do not matter.
BLOCKS = [(0x20, 0x7E)] * 6 + [(0xA0, 0x17F), (0x370, 0x3FF), (0x400, 0x45F), (0x5D0, 0x5EA), (0x620, 0x64A),
                               (0x900, 0x96F), (0xAC00, 0xAC80), (0x3041, 0x30FF), (0x4E00, 0x4E80), (0x1F600, 0x1F64F),
                               (0x2000, 0x206F), (0x2150, 0x218B), (0x2460, 0x24FF), (0x300, 0x36F), (0x1D400, 0x1D455),
                               (0x1E00, 0x1EFF), (0xFB00, 0xFB06), (0xFF01, 0xFF5E), (0x0660, 0x0669), (0x1C80, 0x1C88)]
SPACES = [" ", " ", " ", "\n", "\n", "\t", "\r\n", "\r", "\u00a0", "\u3000", "\u2028", "\u0085", "\u200b", "\u180e",
          "\x0b", "\x1c"]
WORDS = ["'s", "'T", "'LL", "'\u017f", "It's", "don't", "I'M", "hello", " the", "Straße", "ǅ", "İstanbul", "ﬁne", "1234",
         "3.14", "２３", "٣٤", "½", "👨‍👩‍👧‍👦", "🇩🇪", "a\u0308", "가\u11a8", "中文。", "return 0;\n", "    ", "...\n\n", "</", "<|", "\x00"]


def text(rng, specials):
    out = []
    for _ in range(rng.randint(0, 12)):
        kind = rng.random()
        if kind < 0.3:
            out.append(rng.choice(WORDS))
        elif kind < 0.5:
            out.append("".join(rng.choices(SPACES, k=rng.randint(1, 5))))
        elif kind < 0.6:
            out.append(str(rng.randint(0, 10**rng.randint(1, 9))))
        elif kind < 0.72 and specials:
            special = rng.choice(specials)
            out.append(special if rng.random() < 0.8 else special[:rng.randint(1, len(special))])
        else:
            first, last = rng.choice(BLOCKS)
            chars = [chr(rng.randint(first, last)) for _ in range(rng.randint(1, 6))]
            out.append("".join(c for c in chars if unicodedata.category(c) != "Cn"))
    return "".join(out)


def cases(tokenizer, count, specials, name):
    rng = random.Random(f"{SEED} {name}")
    texts = ["", " ", "\n", "a", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", " " * 40, "\n" * 9, CORPUS[:500]]
    texts += [text(rng, specials) for _ in range(count)]
    out = []
    for t in texts:
        ids = tokenizer.encode(t, add_special_tokens=False).ids
        whole = tokenizer.encode(t, add_special_tokens=True).ids
        case = [t, ids]
        if whole != ids:
            case.append(whole)
        out.append(case)
    return out


def decodes(tokenizer, name):
    """Random ids: most of them no text at all."""
    rng = random.Random(f"{SEED} decode {name}")
    size = tokenizer.get_vocab_size()
    out = []
    for _ in range(60):
        ids = [rng.randrange(size + 3) for _ in range(rng.randint(0, 8))]
        out.append([ids, tokenizer.decode(ids, skip_special_tokens=False), tokenizer.decode(ids, skip_special_tokens=True)])
    return out


def main():
    out = {"made_by": "tests/golden/text/make_tokenizers.py", "tokenizers": tokenizers.__version__, "seed": SEED,
           "suites": []}
    for name, spec, specials in suites():
        tokenizer = Tokenizer.from_str(json.dumps(spec))
        count = 700 if name in ("glm", "gpt2_flags") else 140
        suite = {"name": name, "tokenizer": spec, "cases": cases(tokenizer, count, specials, name)}
        if spec["pre_tokenizer"] is not None:
            suite["decodes"] = decodes(tokenizer, name)
        out["suites"].append(suite)
    tiny = ROOT / "models/glm-tiny/tokenizer.json"
    if tiny.exists():
        tokenizer = Tokenizer.from_file(str(tiny))
        specials = [t.content for t in tokenizer.get_added_tokens_decoder().values()]
        out["suites"].append({"name": "glm_tiny", "file": "models/glm-tiny/tokenizer.json",
                              "cases": cases(tokenizer, 500, specials, "glm_tiny"), "decodes": decodes(tokenizer, "glm_tiny")})
    path = HERE / "tokenizers.json"
    rows = json.dumps(out, ensure_ascii=False, separators=(",", ":"))
    path.write_text(rows.replace('{"name":', '\n{"name":').replace('"cases":', '\n"cases":') + "\n")
    print(path.name, path.stat().st_size, "bytes", {s["name"]: len(s["cases"]) for s in out["suites"]}, file=sys.stderr)


if __name__ == "__main__":
    main()
