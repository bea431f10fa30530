"""The tokenizers of make_tokenizers.py: (name, tokenizer.json, texts that should occur)."""

import json

import tokenizers
from tokenizers import Tokenizer, trainers

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

    for behavior in BEHAVIORS:
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

    yield from sentencepiece_suites()
    yield from unigram_suites()
    yield from word_suites()
    yield from part_suites()


def copy(spec, **parts):
    return {**json.loads(json.dumps(spec)), **parts}


def trained(trainer, pre_tokenizer, model, **parts):
    """A specification around a model that was trained on the corpus."""
    spec = blank(pre_tokenizer, parts.pop("normalizer", None))
    spec["model"] = model
    tokenizer = Tokenizer.from_str(json.dumps(spec))
    tokenizer.train_from_iterator(CORPUS.splitlines(keepends=True), trainer)
    out = json.loads(tokenizer.to_str())
    return copy(out, **parts)


def metaspace(scheme="always", **kw):
    return {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": True, **kw}


def replace(pattern, content):
    return {"type": "Replace", "pattern": pattern, "content": content}


def normalizers(*parts):
    return {"type": "Sequence", "normalizers": list(parts)}


def decoders(*parts):
    return {"type": "Sequence", "decoders": list(parts)}


def strip(content, start, stop):
    return {"type": "Strip", "content": content, "start": start, "stop": stop}


def bos(token, id):
    return {"type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": token, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
            "special_tokens": {token: {"id": token, "ids": [id], "tokens": [token]}}}


BYTE_FALLBACK = {"type": "ByteFallback"}
FUSE = {"type": "Fuse"}
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
SPM_SPECIALS = ["<unk>", "<s>", "</s>"]


def sentencepiece_suites():
    """BPE as Llama 2, Mistral and Gemma have it: "▁" for a space, bytes for what has no token."""
    trainer = trainers.BpeTrainer(vocab_size=700, show_progress=False, special_tokens=SPM_SPECIALS + BYTES,
                                  limit_alphabet=70)
    base = trained(trainer, metaspace(), blank(None)["model"])
    base["pre_tokenizer"] = None
    base["model"].update(byte_fallback=True, fuse_unk=True, unk_token="<unk>")
    base["added_tokens"] = [added(i, t) for i, t in enumerate(SPM_SPECIALS)]
    base["post_processor"] = bos("<s>", 1)
    base["decoder"] = decoders(replace({"String": "▁"}, " "), BYTE_FALLBACK, FUSE, strip(" ", 1, 0))
    llama = normalizers({"type": "Prepend", "prepend": "▁"}, replace({"String": " "}, "▁"))
    sought = SPM_SPECIALS + ["▁", "<0x41>", " <s>", "</s> "]
    yield "llama2", copy(base, normalizer=llama), sought
    legacy = copy(base, normalizer=llama)
    for token in legacy["added_tokens"]:
        token["normalized"] = True
    yield "llama2_normalized", legacy, sought
    yield "mistral", copy(base, pre_tokenizer=metaspace("first", split=False)), sought
    gemma = copy(base, normalizer=replace({"String": " "}, "▁"),
                 pre_tokenizer=split({"String": " "}, "MergedWithPrevious"),
                 decoder=decoders(replace({"String": "▁"}, " "), BYTE_FALLBACK, FUSE))
    size = len(gemma["model"]["vocab"])
    gemma["added_tokens"] += [added(size + i, t, special=False) for i, t in enumerate(["\n\n", "▁▁", "<h1>", "\t"])]
    yield "gemma", gemma, sought + ["\n\n", "  ", "<h1>"]
    few = copy(base, normalizer=llama)  # some bytes have no token: unknown, and not fused
    few["model"]["vocab"] = {t: i for i, t in enumerate(t for t in few["model"]["vocab"] if not t.startswith("<0xF"))}
    few["model"]["fuse_unk"] = False
    yield "llama2_few_bytes", few, sought
    few["model"]["fuse_unk"] = True
    few["model"]["unk_token"] = None
    yield "llama2_no_unknown", few, sought

    plain = copy(base, decoder=None)
    plain["model"]["byte_fallback"] = False
    for scheme in ("always", "first", "never"):
        for splits in (True, False):
            part = metaspace(scheme, split=splits)
            yield f"metaspace_{scheme}_{'split' if splits else 'whole'}", copy(plain, pre_tokenizer=part, decoder=part), sought
    old = {"type": "Metaspace", "replacement": "_", "add_prefix_space": True}
    yield "metaspace_old", copy(plain, pre_tokenizer=old, decoder=old), sought
    stages = sequence({"type": "WhitespaceSplit"}, metaspace("first"))
    yield "metaspace_first_of_words", copy(plain, pre_tokenizer=stages, decoder=metaspace("first"), normalizer=normalizers(
        {"type": "Strip", "strip_left": True, "strip_right": True}, replace({"Regex": "[ab]+"}, "c"))), sought


def unigram_suites():
    trainer = trainers.UnigramTrainer(vocab_size=400, show_progress=False, unk_token="<unk>",
                                      special_tokens=SPM_SPECIALS)
    spec = trained(trainer, metaspace(), {"type": "Unigram", "unk_id": None, "vocab": [["<unk>", 0.0]], "byte_fallback": False})
    spec["model"]["unk_id"] = [t for t, _ in spec["model"]["vocab"]].index("<unk>")
    base = copy(spec, decoder=metaspace(), added_tokens=[added(i, t) for i, t in enumerate(SPM_SPECIALS)],
                post_processor=bos("<s>", 1))
    charsmap = {"type": "Precompiled", "precompiled_charsmap": CHARSMAP}
    sought = SPM_SPECIALS + ["e\u0301", "a\u0308b", "日本", "ａｂ", "\r\n", "👍"]
    yield "unigram", copy(base, normalizer=normalizers(
        charsmap, {"type": "Strip", "strip_left": False, "strip_right": True}, replace({"Regex": " {2,}"}, "▁"))), sought
    yield "unigram_first", copy(base, normalizer=normalizers(charsmap, {"type": "Nmt"}, {"type": "NFKC"}),
                                pre_tokenizer=sequence({"type": "WhitespaceSplit"}, metaspace("first")),
                                decoder=metaspace("first")), sought
    whole = copy(base, pre_tokenizer=None, normalizer=replace({"String": " "}, "▁"))
    yield "unigram_whole", whole, sought
    fallback = copy(whole, decoder=decoders(BYTE_FALLBACK, metaspace("never")))
    fallback["model"]["byte_fallback"] = True
    fallback["model"]["vocab"] += [[b, -20.0] for b in BYTES]
    yield "unigram_bytes", fallback, sought + ["<0x41>"]
    fallback["model"]["vocab"] = [[t, s] for t, s in fallback["model"]["vocab"] if not t.startswith("<0xF")]
    yield "unigram_few_bytes", fallback, sought
    ties = copy(whole, added_tokens=[], post_processor=None, decoder=FUSE)
    ties["model"] = {"type": "Unigram", "unk_id": 1, "byte_fallback": False, "vocab": [
        [t, s] for t, s in [("a", 1.0), ("<unk>", 0.0), ("b", 1.0), ("ab", 2.0), ("aa", 2.0), ("aaa", 3.0), ("ba", 1.5),
                            ("abc", 0.25), ("bb", -3.5), ("▁", -1.0), ("中文", 4.0), ("é", 0.1), ("e", 0.1), ("xyz", -40.0),
                            ("xy", 1.0), ("zx", 1.0), ("a", 0.5)]]}
    yield "unigram_ties", ties, ["aab", "abab", "abcab", "xyzx", "xyz", "zxy", "<unk>", "c<unk>d", "aaaaaa"]


def word_suites():
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    bert = {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": True}
    trainer = trainers.WordPieceTrainer(vocab_size=500, show_progress=False, special_tokens=names)
    model = {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
             "vocab": {}}
    base = trained(trainer, {"type": "BertPreTokenizer"}, model, normalizer=bert)
    base["decoder"] = {"type": "WordPiece", "prefix": "##", "cleanup": True}
    base["added_tokens"] = [added(i, n) for i, n in enumerate(names)]
    base["post_processor"] = {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]}
    sought = names + ["don't", "do not", " ' ", "fox ."]
    yield "bert", base, sought
    cased = copy(base, normalizer={**bert, "lowercase": False}, decoder={"type": "WordPiece", "prefix": "##", "cleanup": False})
    cased["model"]["max_input_chars_per_word"] = 7
    yield "bert_cased", cased, sought
    yield "bert_accents", copy(base, normalizer={**bert, "lowercase": False, "strip_accents": True, "clean_text": False}), sought

    level = trainers.WordLevelTrainer(vocab_size=200, show_progress=False, special_tokens=["<unk>"])
    simple = trained(level, {"type": "Whitespace"}, {"type": "WordLevel", "vocab": {}, "unk_token": "<unk>"}, normalizer=normalizers(
        {"type": "NFD"}, {"type": "StripAccents"}, {"type": "Lowercase"}))
    simple["decoder"] = None
    yield "word_level", simple, ["hello", "THE", "fox.jumps"]

    trainer = trainers.BpeTrainer(vocab_size=420, show_progress=False, special_tokens=["<unk>"], end_of_word_suffix="</w>")
    clip = trained(trainer, {"type": "BertPreTokenizer"}, {**blank(None)["model"], "unk_token": "<unk>", "end_of_word_suffix": "</w>"},
                   normalizer=normalizers({"type": "NFC"}, replace({"Regex": r"\s+"}, " "), {"type": "Lowercase"}))
    clip["decoder"] = {"type": "BPEDecoder", "suffix": "</w>"}
    clip["post_processor"] = {"type": "RobertaProcessing", "sep": ["<unk>", 0], "cls": ["<unk>", 0], "trim_offsets": True,
                              "add_prefix_space": False}
    yield "end_of_word", clip, ["fox", "</w>"]
    trainer = trainers.BpeTrainer(vocab_size=420, show_progress=False, special_tokens=["<unk>"], continuing_subword_prefix="##")
    prefix = trained(trainer, {"type": "WhitespaceSplit"},
                     {**blank(None)["model"], "unk_token": "<unk>", "fuse_unk": True, "continuing_subword_prefix": "##"})
    prefix["decoder"] = {"type": "WordPiece", "prefix": "##", "cleanup": True}
    yield "subword_prefix", prefix, ["fox", "##"]


def part_suites():
    """Each normalizer, pre-tokenizer and decoder by itself."""
    base = train(blank(byte_level()), 300)
    bert = {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": False, "lowercase": False}
    parts = {"NFC": {"type": "NFC"}, "NFD": {"type": "NFD"}, "NFKC": {"type": "NFKC"}, "NFKD": {"type": "NFKD"},
             "Nmt": {"type": "Nmt"}, "StripAccents": normalizers({"type": "NFD"}, {"type": "StripAccents"}),
             "Lowercase": {"type": "Lowercase"}, "Bert": bert, "Precompiled": {"type": "Precompiled", "precompiled_charsmap": CHARSMAP},
             "StripRight": {"type": "Strip", "strip_left": False, "strip_right": True}, "Strip": {"type": "Strip", "strip_left": True, "strip_right": True},
             "Replace": normalizers(replace({"Regex": r"(?<=\p{L})\p{N}+|^ "}, "#"), replace({"String": "##"}, ""))}
    for name, part in parts.items():
        spec = copy(base, normalizer=part)
        size = len(spec["model"]["vocab"])
        spec["added_tokens"] = [added(size, "É!", normalized=True), added(size + 1, "ﬁ", rstrip=True), added(size + 2, "the", single_word=True)]
        yield "normalize_" + name, spec, ["É!", "é!", "E\u0301!", "ﬁ", "the", "thé", "e\u0301", "a\u0316\u0301\u0334", "\u1100\u1161\u11a8"]
    spec = copy(base, normalizer={"type": "ByteLevel"}, pre_tokenizer=None)
    spec["added_tokens"] = [added(len(spec["model"]["vocab"]), "naïve", normalized=True, special=False)]
    yield "normalize_ByteLevel", spec, ["naïve", "hello the"]
    cuts = [("Whitespace", {"type": "Whitespace"}), ("WhitespaceSplit", {"type": "WhitespaceSplit"}), ("Bert", {"type": "BertPreTokenizer"}),
            ("Delimiter", {"type": "CharDelimiterSplit", "delimiter": "e"}), ("FixedLength", {"type": "FixedLength", "length": 3}),
            ("Gpt2", None)]
    cuts += [("Punctuation" + b, {"type": "Punctuation", "behavior": b}) for b in BEHAVIORS]
    for name, part in cuts:
        stages = sequence(part, byte_level()) if part else byte_level(use_regex=True)
        yield "cut_" + name, copy(base, pre_tokenizer=stages), []
    for name, part in {
            "Ctc": {"type": "CTC", "pad_token": "<pad>", "word_delimiter_token": "|", "cleanup": True},
            "CtcRaw": {"type": "CTC", "pad_token": "a", "word_delimiter_token": "|", "cleanup": False},
            "Strip": strip("x", 2, 1), "Bytes": BYTE_FALLBACK, "Replace": replace({"Regex": "[a-c]+"}, "<>"),
            "Fused": decoders(FUSE, replace({"Regex": "a|ba"}, "!"), strip("!", 1, 0), metaspace("never")),
            "FusedStrip": decoders(BYTE_FALLBACK, FUSE, strip("x", 3, 0)),
            "ByteLevel": decoders(byte_level(), strip("x", 1, 0)),
            "WordPiece": {"type": "WordPiece", "prefix": "##", "cleanup": True}, "BPEDecoder": {"type": "BPEDecoder", "suffix": "</w>"},
            "None": None}.items():
        words = ["<unk>", "ab", "xxab", "xyx", "<pad>", "|", "▁", "▁a", "##b", "b</w>", " do not", " '", "c .", "é", "Ġx", "Ã", "©", "</w>",
                 "xyxx"] + (BYTES[0xC0:0xC8] + BYTES[0x80:0xA0] + BYTES[0xE0:0xE8] + BYTES[0x41:0x44] if "Byte" in name or "Fused" in name else [])
        spec = blank({"type": "WhitespaceSplit"})
        spec["model"] = {"type": "WordLevel", "unk_token": "<unk>", "vocab": {w: i for i, w in enumerate(words)}}
        spec["decoder"] = part
        spec["added_tokens"] = [added(0, "<unk>"), added(len(words), "plus", special=False, normalized=True)]
        yield "decode_" + name, spec, words


BEHAVIORS = ("Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous")

# By SentencePiece's trainer with a normalization_rule_tsv of twenty rules: single characters to one, to
# several and to none, a base with a mark, a pair of full-width letters, a line break.
CHARSMAP = ("AAQAAAAgAAAJDQAAAQAAgAoFAADMKAIADTAAAIgFAAAnAACAzAACAIENAAAUAACAoCUAAAsAAICfDQAAJAAAgB0AAICwBQAAIgAA"
            "gIQ0AgCMHQAAFgAAgIsJAAC9aQAAAAAAgAUAAICgDQAACQAAgIAcAgCAeQAAl5gCAKWcAwDmjAIAnLwCAID8AgAYAACArAUAAIEJ"
            "AACsAAIAHwAAgIE9AAAbAACAvQQCAIIFAAARAACAnUQCAJAIAgCfNAIAgHkAAJEkAgAPAACAkTACAI0ZAAC9SAIAAwAAgDcAAAA2"
            "AAAApoEAADgAAAA7AAAAqdEAAD0AAAA8AAAAPwAAAD4AAABBAAAAQAAAAEMAAABCAAAARQAAAEQAAABHAAAARgAAAEkAAABIAAAA"
            "SwAAAEoAAABNAAAATAAAAE8AAABOAAAAUQAAAFAAAABTAAAAUgAAAFUAAABUAAAAVwAAAFYAAABZAAAAWAAAAFsAAABaAAAAXQAA"
            "AFwAAABfAAAAXgAAAGEAAABgAAAAYwAAAGIAAABlAAAAZAAAAGcAAABmAAAAaQAAAGGEAgBrAAAAagAAAG0AAABlpAIAbwAAAG4A"
            "AABxAAAAcAAAAHMAAAByAAAAdQAAAHQAAAB3AAAAdgAAAHkAAAB4AAAAewAAAHoAAAB9AAAAfAAAAH8AAAB+AAAAgQAAAIAAAACD"
            "AAAAggAAAIUAAACEAAAAhwAAAIYAAACJAAAAiAAAAIsAAACKAAAAjQAAAIwAAACPAAAAjgAAAJEAAACQAAAAkwAAAJIAAACVAAAA"
            "lAAAAJcAAACWAAAAmQAAAJgAAACbAAAAmgAAAJ0AAACcAAAAnwAAAJ4AAAChAAAAoAAAAKMAAACiAAAApQAAAKQAAACnAAAApgAA"
            "AKkAAACoAAAAqwAAAKoAAACtAAAArAAAAK8AAACuAAAAsQAAALAAAACzAAAAsgAAALUAAAC0AAAAtwAAALYAAAC5AAAAuAAAALsA"
            "AAC6AAAAvQAAALwAAAC/AAAAvgAAAMEAAADAAAAAwwAAAMIAAADFAAAAxAAAAMcAAADvTAEAyQAAAMgAAADChAEAw2QBAMSwAQDM"
            "AAAAzwAAAM4AAADRAAAA0AAAANMAAADSAAAA1QAAANQAAADXAAAA1gAAANkAAADYAAAA2wAAANoAAADdAAAA3AAAAN8AAADeAAAA"
            "4QAAAOAAAADjAAAA4gAAAOUAAADkAAAA5wAAAO+4AQDpAAAA4fwBAOIsAQDjwAEA7QAAAOwAAADmkAEA7gAAAPEAAADwAAAA8wAA"
            "APIAAAD1AAAA9AAAAPcAAAD2AAAA8CQBAPgAAAD7AAAA+gAAAP0AAAD8AAAA/wAAAP4AAAAAIAArAC4uLgAxADEvMgBBAEFCAEUA"
            "SgBKUABhAGUAZmkAaQBzcwDDhAA=")
