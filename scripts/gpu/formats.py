"""Random weights in every stored format, made where torch computes, and what each of them means in float32.

A format is a pair of functions: one makes the tensors of a module [rows, cols], the other decodes them by the
definition of the format (docs of the exporters), independently of the program. Codes are drawn uniformly and around
zero, since weights with a mean of their own make outputs that are nearly equal, and a badly conditioned model; scales are
chosen so that weights have the standard deviation asked for. Integers are rounded to the dtype of their scales, as the
formats say; libraries round the floating formats to bf16 in the end, which is left out here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch

Parts = dict[str, torch.Tensor]

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"

SEQUENTIAL_SHIFTS = (0, 4, 8, 12, 16, 20, 24, 28)
AWQ_SHIFTS = (0, 16, 4, 20, 8, 24, 12, 28)
E2M1 = (0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6)
UNIFORM_INT4 = 4.4  # standard deviation of -7 .. 7
UNIFORM_AROUND_ZERO = 3.8  # of -6 .. 6
UNIFORM_E2M1 = 3.0


class Shape(NamedTuple):
    rows: int
    cols: int


def random_bytes(*shape: int) -> torch.Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, device=DEVICE)


def signed_nibbles(*shape: int) -> torch.Tensor:
    """Two codes a byte, of 1 .. 15: eight stands for zero."""
    low, high = (torch.randint(1, 16, shape, dtype=torch.uint8, device=DEVICE) for _ in range(2))
    return low | high << 4


def pack_words(codes: torch.Tensor, shifts: tuple[int, ...]) -> torch.Tensor:
    """Eight codes along the last dimension to an int32."""
    lanes = codes.to(torch.int64).unflatten(-1, (-1, 8))
    return sum(lanes[..., n] << shifts[n] for n in range(8)).to(torch.int32).contiguous()


def codes_around(zeros: torch.Tensor, group: int) -> torch.Tensor:
    """[groups, n] zero points of 6 .. 9 to codes [groups * group, n]."""
    spread = torch.randint(-6, 7, (zeros.shape[0] * group, zeros.shape[1]), device=DEVICE)
    return zeros.repeat_interleave(group, 0) + spread


def zero_points(*shape: int) -> torch.Tensor:
    return torch.randint(6, 10, shape, device=DEVICE)


def scales_around(value: float, *shape: int) -> torch.Tensor:
    return value * (0.5 + torch.rand(shape, device=DEVICE))


def nibbles(packed: torch.Tensor) -> torch.Tensor:
    """Two codes per byte, the low one first: [rows, n] u8 -> [rows, 2n] int32."""
    return torch.stack([packed & 15, packed >> 4], -1).flatten(-2).to(torch.int32)


def repeat_groups(values: torch.Tensor, cols: int) -> torch.Tensor:
    return values.repeat_interleave(cols // values.shape[1], 1)


def shape_tensor(shape: Shape) -> torch.Tensor:
    return torch.tensor(shape, dtype=torch.int64)


# ---- plain ----------------------------------------------------------------------------------------------------------------

def make_bf16(shape: Shape, std: float) -> Parts:
    return {"weight": (torch.randn(shape, device=DEVICE) * std).to(torch.bfloat16)}


def decode_plain(parts: Parts, shape: Shape) -> torch.Tensor:
    return parts["weight"].float()


# ---- compressed-tensors integers ------------------------------------------------------------------------------------------

def make_ct_int4(group: int) -> Callable[[Shape, float], Parts]:
    def make(shape: Shape, std: float) -> Parts:
        return {"weight_packed": signed_nibbles(shape.rows, shape.cols // 2).view(torch.int32),
                "weight_scale": scales_around(std / UNIFORM_INT4, shape.rows, shape.cols // group).to(torch.bfloat16),
                "weight_shape": shape_tensor(shape)}
    return make


def decode_ct_int4(parts: Parts, shape: Shape) -> torch.Tensor:
    codes = nibbles(parts["weight_packed"].view(torch.uint8)) - 8
    if "weight_zero_point" in parts:
        words = parts["weight_zero_point"]  # packed along the rows
        zeros = torch.stack([(words >> (4 * n)) & 15 for n in range(8)], 1).reshape(-1, words.shape[1])[:shape.rows]
        codes = codes - repeat_groups(zeros - 8, shape.cols)
    return (codes.float() * repeat_groups(parts["weight_scale"].float(), shape.cols)).to(torch.bfloat16).float()


def make_ct_int4_asym(shape: Shape, std: float) -> Parts:
    zeros = zero_points(shape.cols // 32, shape.rows)
    parts = make_ct_int4(32)(shape, std * UNIFORM_INT4 / UNIFORM_AROUND_ZERO)
    parts["weight_packed"] = pack_words(codes_around(zeros, 32).T, SEQUENTIAL_SHIFTS)
    parts["weight_zero_point"] = pack_words(zeros, SEQUENTIAL_SHIFTS).T.contiguous()
    return parts


def make_ct_int8(shape: Shape, std: float) -> Parts:
    return {"weight_packed": random_bytes(shape.rows, shape.cols).view(torch.int32),
            "weight_scale": scales_around(std / 74, shape.rows, 1).to(torch.bfloat16), "weight_shape": shape_tensor(shape)}


def decode_ct_int8(parts: Parts, shape: Shape) -> torch.Tensor:
    codes = parts["weight_packed"].view(torch.uint8).to(torch.int32) - 128
    return (codes.float() * parts["weight_scale"].float()).to(torch.bfloat16).float()


# ---- transposed integers --------------------------------------------------------------------------------------------------

def make_awq(shape: Shape, std: float) -> Parts:
    zeros = zero_points(shape.cols // 128, shape.rows)
    return {"qweight": pack_words(codes_around(zeros, 128), AWQ_SHIFTS), "qzeros": pack_words(zeros, AWQ_SHIFTS),
            "scales": scales_around(std / UNIFORM_AROUND_ZERO, *zeros.shape).to(torch.float16)}


def decode_awq(parts: Parts, shape: Shape) -> torch.Tensor:
    def unpack(words: torch.Tensor) -> torch.Tensor:
        return torch.stack([(words >> s) & 15 for s in AWQ_SHIFTS], -1).flatten(-2)
    difference = unpack(parts["qweight"]) - unpack(parts["qzeros"]).repeat_interleave(128, 0)
    return (difference.float() * parts["scales"].float().repeat_interleave(128, 0)).to(torch.float16).float().T.contiguous()


def make_gptq(shape: Shape, std: float) -> Parts:
    """Symmetric, version 1, groups of 32 in a random order of columns."""
    groups = shape.cols // 32
    order = torch.randperm(shape.cols, device=DEVICE)
    return {"qweight": signed_nibbles(shape.cols // 8, shape.rows * 4).view(torch.int32),
            "qzeros": torch.full((groups, shape.rows // 8), 0x77777777, dtype=torch.int32, device=DEVICE),
            "scales": scales_around(std / UNIFORM_INT4, groups, shape.rows).to(torch.float16),
            "g_idx": (order // 32).to(torch.int32)}


def decode_gptq(parts: Parts, shape: Shape) -> torch.Tensor:
    codes = torch.stack([(parts["qweight"] >> (4 * n)) & 15 for n in range(8)], 1).reshape(shape.cols, shape.rows) - 8
    return (codes.float() * parts["scales"].float()[parts["g_idx"].long()]).to(torch.float16).float().T.contiguous()


# ---- 4-bit floats ---------------------------------------------------------------------------------------------------------

def e2m1(packed: torch.Tensor) -> torch.Tensor:
    return torch.tensor(E2M1, device=DEVICE)[nibbles(packed).long()]


def block_scales(rows: int, blocks: int) -> torch.Tensor:
    return (100 + 300 * torch.rand(rows, blocks, device=DEVICE)).to(torch.float8_e4m3fn)


def make_modelopt_nvfp4(shape: Shape, std: float) -> Parts:
    return {"weight": random_bytes(shape.rows, shape.cols // 2), "weight_scale": block_scales(shape.rows, shape.cols // 16),
            "weight_scale_2": torch.tensor(std / UNIFORM_E2M1 / 250), "input_scale": torch.tensor(0.003)}


def decode_modelopt_nvfp4(parts: Parts, shape: Shape) -> torch.Tensor:
    scale = parts["weight_scale"].float() * parts["weight_scale_2"].to(DEVICE)
    return e2m1(parts["weight"]) * repeat_groups(scale, shape.cols)


def make_ct_nvfp4(shape: Shape, std: float) -> Parts:
    return {"weight_packed": random_bytes(shape.rows, shape.cols // 2), "weight_scale": block_scales(shape.rows, shape.cols // 16),
            "weight_global_scale": torch.tensor([250 * UNIFORM_E2M1 / std])}


def decode_ct_nvfp4(parts: Parts, shape: Shape) -> torch.Tensor:
    scale = parts["weight_scale"].float() / parts["weight_global_scale"].to(DEVICE)
    return e2m1(parts["weight_packed"]) * repeat_groups(scale, shape.cols)


def make_mxfp4(shape: Shape, std: float) -> Parts:
    exponent = 127 + round(torch.log2(torch.tensor(std / UNIFORM_E2M1)).item())
    return {"weight_packed": random_bytes(shape.rows, shape.cols // 2),
            "weight_scale": torch.randint(exponent - 1, exponent + 1, (shape.rows, shape.cols // 32), dtype=torch.uint8,
                                          device=DEVICE)}


def decode_mxfp4(parts: Parts, shape: Shape) -> torch.Tensor:
    return e2m1(parts["weight_packed"]) * repeat_groups(torch.exp2(parts["weight_scale"].float() - 127), shape.cols)


# ---- bytes with scales ----------------------------------------------------------------------------------------------------

def random_e4m3(shape: Shape) -> torch.Tensor:
    return (torch.randn(shape, device=DEVICE) * 60).clamp(-448, 448).to(torch.float8_e4m3fn)


def make_fp8_channel(shape: Shape, std: float) -> Parts:
    return {"weight": random_e4m3(shape), "weight_scale": scales_around(std / 60, shape.rows, 1)}


def make_fp8_tensor(shape: Shape, std: float) -> Parts:
    return {"weight": random_e4m3(shape), "weight_scale": torch.tensor(std / 60), "input_scale": torch.tensor(0.01)}


def decode_fp8(parts: Parts, shape: Shape) -> torch.Tensor:
    return parts["weight"].float() * parts["weight_scale"].to(DEVICE).float()


def make_fp8_block(shape: Shape, std: float) -> Parts:
    return {"weight": random_e4m3(shape),
            "weight_scale_inv": scales_around(std / 60, -(-shape.rows // 128), -(-shape.cols // 128))}


def decode_fp8_block(parts: Parts, shape: Shape) -> torch.Tensor:
    scale = parts["weight_scale_inv"].repeat_interleave(128, 0)[:shape.rows].repeat_interleave(128, 1)[:, :shape.cols]
    return parts["weight"].float() * scale


def make_int8(shape: Shape, std: float) -> Parts:
    return {"weight": random_bytes(*shape).view(torch.int8), "weight_scale": scales_around(std / 74, shape.rows, 1)}


def decode_int8(parts: Parts, shape: Shape) -> torch.Tensor:
    return parts["weight"].float() * parts["weight_scale"].float()


# ---- what config.json says ------------------------------------------------------------------------------------------------

def compressed(form: str, **weights: object) -> dict[str, object]:
    return {"quant_method": "compressed-tensors", "format": form, "ignore": ["lm_head"], "quantization_status": "compressed",
            "config_groups": {"group_0": {"targets": ["Linear"], "format": form, "weights": weights}}}


class Format(NamedTuple):
    make: Callable[[Shape, float], Parts]
    decode: Callable[[Parts, Shape], torch.Tensor]
    config: dict[str, object] | None


FORMATS: dict[str, Format] = {
    "bf16": Format(make_bf16, decode_plain, None),
    "ct-int4": Format(make_ct_int4(32), decode_ct_int4, compressed(
        "pack-quantized", num_bits=4, type="int", symmetric=True, group_size=32, strategy="group")),
    "ct-int4-g128": Format(make_ct_int4(128), decode_ct_int4, compressed(
        "pack-quantized", num_bits=4, type="int", symmetric=True, group_size=128, strategy="group")),
    "ct-int4-asym": Format(make_ct_int4_asym, decode_ct_int4, compressed(
        "pack-quantized", num_bits=4, type="int", symmetric=False, group_size=32, strategy="group")),
    "ct-int8": Format(make_ct_int8, decode_ct_int8, compressed(
        "pack-quantized", num_bits=8, type="int", symmetric=True, strategy="channel")),
    "int8": Format(make_int8, decode_int8, compressed(
        "int-quantized", num_bits=8, type="int", symmetric=True, strategy="channel")),
    "awq": Format(make_awq, decode_awq, {"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True,
                                         "version": "gemm", "modules_to_not_convert": ["lm_head"]}),
    "gptq": Format(make_gptq, decode_gptq, {"quant_method": "gptq", "bits": 4, "group_size": 32, "desc_act": True, "sym": True,
                                            "checkpoint_format": "gptq"}),
    "modelopt-nvfp4": Format(make_modelopt_nvfp4, decode_modelopt_nvfp4, {
        "quant_method": "modelopt", "quant_algo": "NVFP4", "ignore": ["lm_head"]}),
    "ct-nvfp4": Format(make_ct_nvfp4, decode_ct_nvfp4, compressed(
        "nvfp4-pack-quantized", num_bits=4, type="float", symmetric=True, group_size=16, strategy="tensor_group")),
    "ct-mxfp4": Format(make_mxfp4, decode_mxfp4, compressed(
        "mxfp4-pack-quantized", num_bits=4, type="float", symmetric=True, group_size=32, strategy="group")),
    "fp8-channel": Format(make_fp8_channel, decode_fp8, compressed(
        "float-quantized", num_bits=8, type="float", symmetric=True, strategy="channel")),
    "fp8-tensor": Format(make_fp8_tensor, decode_fp8, {"quant_method": "modelopt", "quant_algo": "FP8", "ignore": ["lm_head"]}),
    "fp8-block": Format(make_fp8_block, decode_fp8_block, {
        "quant_method": "fp8", "activation_scheme": "dynamic", "fmt": "e4m3", "weight_block_size": [128, 128]}),
}
