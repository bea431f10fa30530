"""The committed repositories are whole, small, and agree with their checksums. Standard library only."""

import hashlib
import json
import struct
import sys
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts/train_tiny"))

import config  # noqa: E402
import tokenizer  # noqa: E402

REPOSITORIES = [ROOT / "models/glm-tiny", ROOT / "models/glm-tiny-int4"]


class Repositories(unittest.TestCase):
    def test_checksums_cover_every_file_and_agree(self) -> None:
        for folder in REPOSITORIES:
            lines = (folder / "SHA256SUMS").read_text().splitlines()
            listed = {line[66:]: line[:64] for line in lines}
            present = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
            self.assertEqual([line[66:] for line in lines], [name for name in present if name != "SHA256SUMS"])
            for name, digest in listed.items():
                self.assertEqual(hashlib.sha256((folder / name).read_bytes()).hexdigest(), digest, name)

    def test_sizes(self) -> None:
        files = [p for folder in REPOSITORIES for p in folder.rglob("*") if p.is_file()]
        self.assertLessEqual(max(p.stat().st_size for p in files), 8 << 20)
        self.assertLessEqual(sum(p.stat().st_size for p in files), 24_000_000)

    def test_index_names_every_tensor_where_it_is(self) -> None:
        folder = REPOSITORIES[0]
        index = json.loads((folder / "model.safetensors.index.json").read_text())
        found: dict[str, str] = {}
        total = 0
        for path in sorted(folder.glob("*.safetensors")):
            raw = path.read_bytes()
            (size,) = struct.unpack("<Q", raw[:8])
            header = json.loads(raw[8:8 + size])
            end = 0
            for name, entry in header.items():
                if name != "__metadata__":
                    self.assertEqual(entry["data_offsets"][0], end, name)
                    end = entry["data_offsets"][1]
                    found[name] = path.name
            self.assertEqual(8 + size + end, len(raw))
            total += end
        self.assertEqual(found, index["weight_map"])
        self.assertEqual(total, index["metadata"]["total_size"])

    def test_text_files_are_what_the_scripts_write(self) -> None:
        for folder in REPOSITORIES:
            self.assertEqual(json.loads((folder / "tokenizer.json").read_text("utf-8")), tokenizer.tokenizer_json())
            self.assertEqual(json.loads((folder / "tokenizer_config.json").read_text("utf-8")), tokenizer.tokenizer_config())
            self.assertEqual((folder / "chat_template.jinja").read_bytes(),
                             (ROOT / "scripts/train_tiny/chat_template.jinja").read_bytes())
            written = json.loads((folder / "config.json").read_text())
            written.pop("quantization_config", None)
            self.assertEqual(written, config.CONFIG)
            self.assertEqual(json.loads((folder / "generation_config.json").read_text()), config.GENERATION_CONFIG)

    def test_every_contraction_is_a_multiple_of_128(self) -> None:
        c = config.CONFIG
        for width in (c["hidden_size"], c["q_lora_rank"], c["kv_lora_rank"], c["intermediate_size"], c["moe_intermediate_size"],
                      c["num_attention_heads"] * c["v_head_dim"], 2 * c["hidden_size"]):
            self.assertEqual(width % 128, 0)


class Tokenizer(unittest.TestCase):
    """A token that is a whole pre-token must also be what its merges produce, so ignore_merges changes nothing."""

    def test_every_token_is_reached_by_its_merges(self) -> None:
        model = tokenizer.tokenizer_json()["model"]
        rank = {tuple(pair): n for n, pair in enumerate(model["merges"])}
        for token in model["vocab"]:
            parts = list(token)
            while len(parts) > 1:
                best = min(range(len(parts) - 1), key=lambda n: rank.get((parts[n], parts[n + 1]), len(rank)))
                if (parts[best], parts[best + 1]) not in rank:
                    break
                parts[best:best + 2] = [parts[best] + parts[best + 1]]
            self.assertEqual(parts, [token])

    def test_digits_and_bare_words_stay_single(self) -> None:
        for token in list(tokenizer.tokenizer_json()["model"]["vocab"])[256:]:
            self.assertFalse(any(c.isdigit() for c in token), token)
            self.assertFalse(token[0].isascii() and token[0].isalpha(), token)


if __name__ == "__main__":
    unittest.main()
