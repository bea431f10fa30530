"""quantize.py against published packing vectors, and against decoders written here on their own. Needs numpy."""

import sys
import tempfile
import unittest
from pathlib import Path

try:
    import numpy as np
except ImportError:
    print("skipped: numpy is not installed")
    sys.exit(77)

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts/train_tiny"))

import pack_floats  # noqa: E402
import pack_integers  # noqa: E402
import packing  # noqa: E402
import quantize  # noqa: E402
from repository import Tensor, bf16_from_float, float_from_bf16, read_tensors, sha256_of  # noqa: E402

BF16_REPOSITORY = ROOT / "models/glm-tiny"


def words_of(packed: np.ndarray) -> list[str]:
    return [f"{word:08X}" for word in packed.view(np.uint32).reshape(-1)]


def pack(values: list[int]) -> list[str]:
    return words_of(packing.pack_rows(np.array([values]) + 8, 4))


def module(name: str, parts: pack_integers.Tensors) -> pack_integers.Tensors:
    return {f"{name}.{suffix}": part for suffix, part in parts.items()}


class Packing(unittest.TestCase):
    def test_int4_words(self) -> None:
        self.assertEqual(pack(list(range(-8, 8))), ["76543210", "FEDCBA98"])
        self.assertEqual(pack([3, -8, 7, 0, -1, 5, -4, 2]), ["A4D78F0B"])
        self.assertEqual(pack([3, -8, 7, 0, -1, 5, -4, 2, 1, -2, -7]), ["A4D78F0B", "00000169"])

    def test_int4_dequantizes_to_rounded_bf16(self) -> None:
        tensors = {"m.weight_packed": Tensor("I32", packing.pack_rows(np.array([[3, -8, 7, 0, -1, 5, -4, 2]]) + 8, 4)),
                   "m.weight_scale": Tensor("BF16", np.array([[0x3C4A]], dtype=np.uint16)),
                   "m.weight_shape": Tensor("I64", np.array([1, 8]))}
        got = bf16_from_float(quantize.dequantize_ct_int4(tensors, "m"))[0]
        self.assertEqual([f"{b:04X}" for b in got], "3D18 BDCA 3DB1 0000 BC4A 3D7C BD4A 3CCA".split())

    def test_int4_mini_layer(self) -> None:
        k = np.arange(32)
        q = np.stack([(5 * k) % 16 - 8, (3 * k + 1) % 16 - 8])
        packed = packing.pack_rows(q + 8, 4)
        self.assertEqual(words_of(packed[0]), ["3E94FA50", "B61C72D8"] * 2)
        self.assertEqual(words_of(packed[1]), ["630DA741", "EB852FC9"] * 2)
        tensors = {"m.weight_packed": Tensor("I32", packed), "m.weight_shape": Tensor("I64", np.array([2, 32])),
                   "m.weight_scale": Tensor("BF16", np.array([[0x3C4A], [0x3F00]], dtype=np.uint16))}
        w = quantize.dequantize_ct_int4(tensors, "m")
        self.assertEqual([f"{b:04X}" for b in bf16_from_float(w[0, :8])], "BDCA BD18 3CCA 3DB1 BD4A 3C4A 3D98 BD7C".split())
        self.assertEqual((w.astype(np.float64) @ k).tolist(), [-2.56591796875, 16.0])

    def test_int8_words(self) -> None:
        self.assertEqual(words_of(packing.pack_rows(np.array([[-128, -1, 0, 127]]) + 128, 8)), ["FF807F00"])

    def test_packed_zero_points(self) -> None:
        z = np.array([[-8, -3, 0, 1, 2, 3, 7, -1, 4, -5], [0] * 10])
        packed = packing.pack_rows(z + 8, 4).T
        self.assertEqual(words_of(np.ascontiguousarray(packed)), ["7FBA9850", "88888888", "0000003C", "00000088"])

    def test_awq_words(self) -> None:
        for values, word in (([0, 1, 2, 3, 4, 5, 6, 7], "75316420"), ([11, 0, 15, 8, 7, 13, 4, 10], "AD8047FB"),
                             ([7, 8, 8, 8, 8, 9, 6, 8], "89886887")):
            self.assertEqual(words_of(packing.pack_awq(np.array([values]))), [word])

    def test_scalars(self) -> None:
        self.assertEqual(bf16_from_float(np.array([1.00390625, 1.01171875, 3.140625, 0.0123])).tolist(),
                         [0x3F80, 0x3F82, 0x4049, 0x3C4A])
        self.assertEqual(packing.to_e4m3(np.array([1, -1, 448, 2.0**-9, 6.5, 0, 1e9, 17, 18, 19])).tolist(),
                         [0x38, 0xB8, 0x7E, 1, 0x4D, 0, 0x7E, 0x58, 0x59, 0x5A])
        codes = np.array([c for c in range(256) if c & 0x7F != 0x7F], dtype=np.uint8)
        self.assertTrue(np.array_equal(packing.to_e4m3(packing.from_e4m3(codes)), codes))
        self.assertEqual(packing.to_e2m1(np.array([0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5, 7, -0.3])).tolist(), [0, 2, 2, 4, 4, 6, 6, 7, 9])
        ramp = np.arange(16, dtype=np.uint8)[None]
        self.assertEqual(packing.pack_fp4(ramp).tobytes().hex(), "1032547698badcfe")

    def test_nvfp4_global_scales(self) -> None:
        w = np.zeros((1, 16), dtype=np.float32)
        w[0, 0] = 1.5
        self.assertEqual(int(pack_floats.modelopt_nvfp4(w)["weight_scale_2"].data.view(np.uint32)), 0x3A124925)
        self.assertEqual(int(pack_floats.ct_nvfp4(w)["weight_global_scale"].data.view(np.uint32)[0]), 0x44E00000)


class RoundTrip(unittest.TestCase):
    """Each format decodes to something close to the weight it was made from; the decoders are this file's own."""

    def setUp(self) -> None:
        rng = np.random.default_rng(7)
        self.w = float_from_bf16(bf16_from_float(rng.normal(0, 0.1, (576, 512)).astype(np.float32)))

    def close(self, decoded: np.ndarray, relative: float) -> None:
        error = np.linalg.norm(decoded - self.w) / np.linalg.norm(self.w)
        self.assertLess(error, relative)

    @staticmethod
    def nibbles(words: np.ndarray) -> np.ndarray:
        return np.stack([(words.view(np.uint32) >> np.uint32(4 * n)) & 15 for n in range(8)], -1).astype(np.float32)

    def test_ct_int4_and_asymmetric(self) -> None:
        self.close(quantize.dequantize_ct_int4(module("m", pack_integers.ct_int(4, 32)(self.w)), "m"), 0.10)
        parts = pack_integers.ct_int_asymmetric(4, 32)(self.w)
        q = self.nibbles(parts["weight_packed"].data).reshape(576, 512)
        z = self.nibbles(np.ascontiguousarray(parts["weight_zero_point"].data.T)).reshape(16, 576).T
        scale = float_from_bf16(parts["weight_scale"].data)
        self.close((q - np.repeat(z, 32, 1)) * np.repeat(scale, 32, 1), 0.10)

    def test_awq(self) -> None:
        parts = pack_integers.awq(self.w)
        shifts = np.array([0, 16, 4, 20, 8, 24, 12, 28], dtype=np.uint32)
        q, z = (((parts[n].data.view(np.uint32)[..., None] >> shifts) & 15).reshape(-1, 576).astype(np.float32)
                for n in ("qweight", "qzeros"))
        scale = parts["scales"].data.astype(np.float32)
        self.assertEqual((q.shape, z.shape, scale.shape), ((512, 576), (4, 576), (4, 576)))
        self.close(((q - np.repeat(z, 128, 0)) * np.repeat(scale, 128, 0)).T, 0.12)

    def test_gptq(self) -> None:
        for group, ordered in ((128, False), (32, True)):
            parts = pack_integers.gptq(group, ordered)(self.w)
            q = self.nibbles(parts["qweight"].data).transpose(0, 2, 1).reshape(512, 576)
            z = self.nibbles((parts["qzeros"].data.view(np.uint32) + np.uint32(0x11111111)).view(np.int32)).reshape(-1, 576)
            g = parts["g_idx"].data
            self.assertEqual(sorted(g.tolist()), sorted((np.arange(512) // group).tolist()))
            self.assertEqual(g.tolist() == (np.arange(512) // group).tolist(), not ordered)
            self.close(((q - z[g]) * parts["scales"].data.astype(np.float32)[g]).T, 0.13)

    def test_nvfp4(self) -> None:
        table = np.concatenate([packing.E2M1, -packing.E2M1])
        for parts, name, divides in ((pack_floats.modelopt_nvfp4(self.w), "weight", False), (pack_floats.ct_nvfp4(self.w), "weight_packed", True)):
            codes = np.stack([parts[name].data & 15, parts[name].data >> 4], -1).reshape(576, 512)
            scale = packing.from_e4m3(parts["weight_scale"].data)
            scale = scale / parts["weight_global_scale"].data if divides else scale * parts["weight_scale_2"].data
            self.close(table[codes] * np.repeat(scale, 16, 1), 0.12)

    def test_powers_of_two_for_32_columns(self) -> None:
        parts = pack_floats.ct_mxfp4(self.w)
        codes = np.stack([parts["weight_packed"].data & 15, parts["weight_packed"].data >> 4], -1).reshape(576, 512)
        scale = np.exp2(parts["weight_scale"].data.astype(np.float32) - 127)
        self.close(np.concatenate([packing.E2M1, -packing.E2M1])[codes] * np.repeat(scale, 32, 1), 0.15)
        parts = pack_floats.ct_mxfp8(self.w)
        scale = np.exp2(parts["weight_scale"].data.astype(np.float32) - 127)
        self.close(packing.from_e4m3(parts["weight"].data) * np.repeat(scale, 32, 1), 0.04)

    def test_int8(self) -> None:
        parts = pack_integers.ct_int8_plain(self.w)
        self.close(parts["weight"].data * float_from_bf16(parts["weight_scale"].data), 0.02)
        parts = pack_integers.ct_int_asymmetric(8, 64)(self.w)
        z = np.ascontiguousarray(parts["weight_zero_point"].data.T).view(np.uint8).reshape(8, 576).T.astype(np.float32)
        q = parts["weight_packed"].data.view(np.uint8).reshape(576, 512).astype(np.float32)
        self.close((q - np.repeat(z, 64, 1)) * np.repeat(float_from_bf16(parts["weight_scale"].data), 64, 1), 0.02)

    def test_ct_activation_order(self) -> None:
        parts = pack_integers.ct_int4_ordered(self.w)
        g = parts["weight_g_idx"].data
        self.assertNotEqual(g.tolist(), (np.arange(512) // 32).tolist())
        q = self.nibbles(parts["weight_packed"].data).reshape(576, 512) - 8
        self.close(q * float_from_bf16(parts["weight_scale"].data)[:, g], 0.13)

    def test_gptq_version_2(self) -> None:
        parts = pack_integers.gptq_v2_asymmetric(self.w)
        q = self.nibbles(parts["qweight"].data).transpose(0, 2, 1).reshape(512, 576)
        z = self.nibbles(parts["qzeros"].data).reshape(-1, 576)
        g = parts["g_idx"].data
        self.close(((q - z[g]) * parts["scales"].data.astype(np.float32)[g]).T, 0.13)

    def test_fp8(self) -> None:
        parts = pack_floats.ct_fp8_channel(self.w)
        self.close(packing.from_e4m3(parts["weight"].data) * parts["weight_scale"].data, 0.04)
        parts = pack_floats.modelopt_fp8(self.w)
        self.close(packing.from_e4m3(parts["weight"].data) * parts["weight_scale"].data, 0.04)
        parts = pack_floats.ct_fp8_tensor(self.w)
        self.close(packing.from_e4m3(parts["weight"].data) * float_from_bf16(parts["weight_scale"].data), 0.04)
        parts = pack_floats.fp8_block(self.w)
        self.assertEqual(parts["weight_scale_inv"].data.shape, (5, 4))
        scale = np.repeat(np.repeat(parts["weight_scale_inv"].data, 128, 0)[:576], 128, 1)
        self.close(packing.from_e4m3(parts["weight"].data) * scale, 0.04)


class Repositories(unittest.TestCase):
    def test_int4_repository_is_the_quantized_bf16_repository(self) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            quantize.write_quantized(BF16_REPOSITORY, Path(scratch), "ct-int4")
            for path in sorted(Path(scratch).iterdir()):
                if path.name != "SHA256SUMS":
                    self.assertEqual(sha256_of(path), sha256_of(ROOT / "models/glm-tiny-int4" / path.name), path.name)

    def test_int4_layout(self) -> None:
        tensors = read_tensors(ROOT / "models/glm-tiny-int4")
        packed = [n for n in tensors if n.endswith(".weight_packed")]
        self.assertEqual(len(packed), 4 * (5 + 24))
        self.assertFalse([n for n in packed if "shared_experts" in n or ".layers.0." in n or "lm_head" in n or "eh_proj" in n])
        self.assertIn("model.layers.4.self_attn.kv_b_proj.weight_packed", packed)


if __name__ == "__main__":
    unittest.main()
