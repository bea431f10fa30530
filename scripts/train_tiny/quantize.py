"""Writes the quantized forms of a BF16 repository: numpy alone, the same bytes on every machine.

Only element-wise IEEE operations and integer packing are used (sums run in a fixed order), so a committed hash can
stand for the files. Scales come from the weights alone; int4 groups choose theirs by the smallest squared error.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from repository import Tensor, bf16_from_float, float_from_bf16, read_tensors, write_sums, write_tensors

Tensors = dict[str, Tensor]
Packer = Callable[[np.ndarray], Tensors]

AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)
E2M1 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6], dtype=np.float32)


def _e4m3_table() -> np.ndarray:
    codes = np.arange(127)
    exponent, mantissa = codes >> 3, codes & 7
    small = mantissa / 8 * 2.0**-6
    normal = (1 + mantissa / 8) * 2.0 ** (exponent - 7.0)
    return np.where(exponent == 0, small, normal).astype(np.float32)


E4M3 = _e4m3_table()


# ---- scalars ------------------------------------------------------------------------------------------------------------

def nearest_code(values: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Index of the nearest entry of an ascending table, ties to the even index; beyond the end, the last entry."""
    middles = (table[:-1].astype(np.float64) + table[1:]) / 2
    wide = values.astype(np.float64)
    below = np.searchsorted(middles, wide, side="left")  # a tie stays below
    above = np.searchsorted(middles, wide, side="right")
    return np.where((below != above) & (below % 2 == 1), above, below).astype(np.uint8)


def to_e4m3(values: np.ndarray) -> np.ndarray:
    return nearest_code(np.abs(values), E4M3) | (np.signbit(values).astype(np.uint8) << 7)


def from_e4m3(codes: np.ndarray) -> np.ndarray:
    magnitude = E4M3[np.minimum(codes & 0x7F, 126)]
    return np.where(codes & 0x80, -magnitude, magnitude).astype(np.float32)


def to_e2m1(values: np.ndarray) -> np.ndarray:
    return nearest_code(np.abs(values), E2M1) | (np.signbit(values).astype(np.uint8) << 3)


# ---- packing ------------------------------------------------------------------------------------------------------------

def pack_rows(unsigned: np.ndarray, bits: int) -> np.ndarray:
    """Packs along the last dimension, first value in the lowest bits of an int32; the tail is zero."""
    per_word = 32 // bits
    fill = -unsigned.shape[-1] % per_word
    padded = np.pad(unsigned.astype(np.uint32), [(0, 0)] * (unsigned.ndim - 1) + [(0, fill)])
    lanes = padded.reshape(*padded.shape[:-1], -1, per_word)
    words = np.zeros(lanes.shape[:-1], dtype=np.uint32)
    for lane in range(per_word):
        words |= lanes[..., lane] << np.uint32(bits * lane)
    return words.view(np.int32)


def pack_awq(unsigned: np.ndarray) -> np.ndarray:
    """Packs eight output columns into a word in the interleaved order of AutoAWQ."""
    lanes = unsigned.astype(np.uint32).reshape(unsigned.shape[0], -1, 8)
    words = np.zeros(lanes.shape[:-1], dtype=np.uint32)
    for nibble, column in enumerate(AWQ_ORDER):
        words |= lanes[..., column] << np.uint32(4 * nibble)
    return words.view(np.int32)


def pack_fp4(codes: np.ndarray) -> np.ndarray:
    """Two E2M1 codes per byte, the even column in the low nibble."""
    return (codes[:, 0::2] | (codes[:, 1::2] << 4)).astype(np.uint8)


# ---- integer formats ------------------------------------------------------------------------------------------------------

def squared_error(difference: np.ndarray) -> np.ndarray:
    """Sums squares over the last dimension in a fixed order."""
    total = np.zeros(difference.shape[:-1], dtype=np.float64)
    for k in range(difference.shape[-1]):
        total += difference[..., k].astype(np.float64) ** 2
    return total


def symmetric_groups(w: np.ndarray, group: int, bits: int, round_scale: Callable[[np.ndarray], np.ndarray],
                     search: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Signed values [out, in] and scales [out, in/group]; the scale is the best of a range below and above absmax."""
    top = 2 ** (bits - 1)
    groups = w.reshape(w.shape[0], -1, group)
    peak = np.abs(groups).max(-1)
    peak = np.where(peak == 0, np.float32(1e-5), peak).astype(np.float32)
    best_error = np.full(peak.shape, np.inf)
    best_scale = np.zeros_like(peak)
    for percent in range(70, 109) if search else (100,):
        scale = round_scale(peak * np.float32(percent / 100) / np.float32(top - 0.5))
        q = np.clip(np.rint(groups / scale[..., None]), -top, top - 1)
        error = squared_error(q.astype(np.float32) * scale[..., None] - groups)
        better = error < best_error
        best_error = np.where(better, error, best_error)
        best_scale = np.where(better, scale, best_scale)
    q = np.clip(np.rint(groups / best_scale[..., None]), -top, top - 1).astype(np.int32)
    return q.reshape(w.shape), best_scale.astype(np.float32)


def asymmetric_groups(w: np.ndarray, group: int, round_scale: Callable[[np.ndarray], np.ndarray]
                      ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Unsigned 4-bit values, scales and zero points from the range of each group, zero included."""
    groups = w.reshape(w.shape[0], -1, group)
    low, high = np.minimum(groups.min(-1), 0), np.maximum(groups.max(-1), 0)
    scale = round_scale(np.maximum((high - low) / np.float32(15), np.float32(1e-6)))
    zero = np.clip(np.rint(-low / scale), 0, 15).astype(np.int32)
    q = np.clip(np.rint(groups / scale[..., None]) + zero[..., None], 0, 15).astype(np.int32)
    return q.reshape(w.shape), scale, zero


def as_bf16(values: np.ndarray) -> np.ndarray:
    return float_from_bf16(bf16_from_float(values))


def as_f16(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float16).astype(np.float32)


def ct_int(bits: int, group: int) -> Packer:
    def pack(w: np.ndarray) -> Tensors:
        q, scale = symmetric_groups(w, group if group > 0 else w.shape[1], bits, as_bf16)
        return {"weight_packed": Tensor("I32", pack_rows(q + 2 ** (bits - 1), bits)),
                "weight_scale": Tensor("BF16", bf16_from_float(scale)),
                "weight_shape": Tensor("I64", np.array(w.shape, dtype=np.int64))}
    return pack


def ct_int4_asymmetric(w: np.ndarray) -> Tensors:
    q, scale, zero = asymmetric_groups(w, 32, as_bf16)
    return {"weight_packed": Tensor("I32", pack_rows(q, 4)),
            "weight_scale": Tensor("BF16", bf16_from_float(scale)),
            "weight_shape": Tensor("I64", np.array(w.shape, dtype=np.int64)),
            "weight_zero_point": Tensor("I32", np.ascontiguousarray(pack_rows(zero.T, 4).T))}


def awq(w: np.ndarray) -> Tensors:
    q, scale, zero = asymmetric_groups(w, 128, as_f16)
    return {"qweight": Tensor("I32", pack_awq(q.T)), "qzeros": Tensor("I32", pack_awq(zero.T)),
            "scales": Tensor("F16", np.ascontiguousarray(scale.T).astype(np.float16))}


def gptq(group: int, activation_order: bool) -> Packer:
    """Symmetric 4-bit GPTQ, v1 zeros (stored minus one). The order stands in for activations: loudest columns first."""
    def pack(w: np.ndarray) -> Tensors:
        columns = w.shape[1]
        order = np.arange(columns)
        if activation_order:
            order = np.argsort(-squared_error(w.T), kind="stable")
        q, scale = symmetric_groups(w[:, order], group, 4, as_f16)
        g_idx = np.empty(columns, dtype=np.int32)
        g_idx[order] = np.arange(columns) // group
        original = np.empty_like(q)
        original[:, order] = q
        zeros = np.full((columns // group, w.shape[0] // 8), 0x77777777, dtype=np.int32)
        return {"qweight": Tensor("I32", np.ascontiguousarray(pack_rows(original + 8, 4).T)),
                "qzeros": Tensor("I32", zeros), "g_idx": Tensor("I32", g_idx),
                "scales": Tensor("F16", np.ascontiguousarray(scale.T).astype(np.float16))}
    return pack


# ---- floating formats -----------------------------------------------------------------------------------------------------

def nvfp4_codes(w: np.ndarray, scale_of_block: Callable[[np.ndarray], np.ndarray], combined: Callable[[np.ndarray], np.ndarray]
                ) -> tuple[np.ndarray, np.ndarray]:
    blocks = w.reshape(w.shape[0], -1, 16)
    codes = to_e4m3(np.clip(scale_of_block(np.abs(blocks).max(-1) / np.float32(6)), 2.0**-9, 448).astype(np.float32))
    step = combined(from_e4m3(codes))
    return pack_fp4(to_e2m1((blocks / step[..., None]).astype(np.float32)).reshape(w.shape)), codes


def modelopt_nvfp4(w: np.ndarray) -> Tensors:
    """The global scale multiplies: amax / (6 * 448)."""
    factor = np.float32(max(np.abs(w).max(), 1e-6)) / np.float32(2688)
    packed, codes = nvfp4_codes(w, lambda block: block / factor, lambda scale: scale * factor)
    return {"weight": Tensor("U8", packed), "weight_scale": Tensor("F8_E4M3", codes),
            "weight_scale_2": Tensor("F32", np.array(factor, dtype=np.float32)),
            "input_scale": Tensor("F32", np.array(8 / 2688, dtype=np.float32))}


def ct_nvfp4(w: np.ndarray) -> Tensors:
    """The global scale divides: 6 * 448 / amax."""
    factor = np.float32(2688) / np.float32(max(np.abs(w).max(), 1e-6))
    packed, codes = nvfp4_codes(w, lambda block: block * factor, lambda scale: scale / factor)
    return {"weight_packed": Tensor("U8", packed), "weight_scale": Tensor("F8_E4M3", codes),
            "weight_global_scale": Tensor("F32", np.array([factor], dtype=np.float32)),
            "input_global_scale": Tensor("F32", np.array([2688 / 8], dtype=np.float32))}


def ct_fp8_channel(w: np.ndarray) -> Tensors:
    scale = (np.maximum(np.abs(w).max(-1, keepdims=True), np.float32(1e-6)) / np.float32(448)).astype(np.float32)
    return {"weight": Tensor("F8_E4M3", to_e4m3(w / scale)), "weight_scale": Tensor("F32", scale)}


def fp8_block(w: np.ndarray) -> Tensors:
    rows, columns = -(-w.shape[0] // 128), -(-w.shape[1] // 128)
    scale = np.empty((rows, columns), dtype=np.float32)
    codes = np.empty(w.shape, dtype=np.uint8)
    for r in range(rows):
        for c in range(columns):
            part = w[r * 128:(r + 1) * 128, c * 128:(c + 1) * 128]
            scale[r, c] = np.float32(max(np.abs(part).max(), 1e-6)) / np.float32(448)
            codes[r * 128:(r + 1) * 128, c * 128:(c + 1) * 128] = to_e4m3(part / scale[r, c])
    return {"weight": Tensor("F8_E4M3", codes), "weight_scale_inv": Tensor("F32", scale)}


# ---- which modules, and what config.json says -------------------------------------------------------------------------------

LINEAR = re.compile(r"model\.layers\.(\d+)\.(self_attn\.\w+_proj(_with_mqa)?|mlp\.(experts\.\d+\.|shared_experts\.)?\w+_proj)$")


def is_linear(module: str) -> bool:
    return LINEAR.match(module) is not None


def after_dense(module: str) -> bool:
    """The modules the published int4 repository packs: no layer 0, no shared experts."""
    return is_linear(module) and not module.startswith("model.layers.0.") and ".shared_experts." not in module


def compressed_tensors(form: str, weights: dict[str, Any], activations: dict[str, Any] | None, ignore: list[str],
                       targets: list[str] | None = None) -> dict[str, Any]:
    arguments = {"actorder": None, "block_structure": None, "dynamic": False, "observer": "mse", "observer_kwargs": {},
                 "scale_dtype": None, "symmetric": True, "zp_dtype": None} | weights
    group = {"format": form, "input_activations": activations, "output_activations": None,
             "targets": targets or ["Linear"], "weights": arguments}
    return {"config_groups": {"group_0": group}, "format": form, "global_compression_ratio": None, "ignore": ignore,
            "kv_cache_scheme": None, "quant_method": "compressed-tensors", "quantization_status": "compressed",
            "sparsity_config": {}, "transform_config": {}, "version": "0.13.0"}


def routers(modules: list[str]) -> list[str]:
    return sorted(m for m in modules if m.endswith(".mlp.gate"))


def int_config(bits: int, group: int, symmetric: bool = True) -> Callable[[list[str]], dict[str, Any]]:
    def config(modules: list[str]) -> dict[str, Any]:
        ignore = sorted(m for m in modules if is_linear(m) and not after_dense(m)) + ["lm_head"]
        size = {"group_size": group, "strategy": "group"} if group > 0 else {"group_size": None, "strategy": "channel"}
        return compressed_tensors("pack-quantized", {"num_bits": bits, "type": "int", "symmetric": symmetric} | size, None, ignore)
    return config


def awq_config(modules: list[str]) -> dict[str, Any]:
    return {"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True, "version": "gemm",
            "modules_to_not_convert": ["model.layers.0.", "self_attn", "mlp.gate.", "eh_proj", "lm_head", "shared_head"]}


def gptq_config(group: int, activation_order: bool) -> Callable[[list[str]], dict[str, Any]]:
    return lambda modules: {
        "quant_method": "gptq", "bits": 4, "group_size": group, "desc_act": activation_order, "sym": True,
        "checkpoint_format": "gptq", "pack_dtype": "int32", "lm_head": False, "static_groups": False, "true_sequential": True,
        "damp_percent": 0.05, "dynamic": {"-:.*eh_proj": {}, "-:.*shared_head.*": {}}, "meta": {"quantizer": ["gptqmodel:5.0.0"]}}


def modelopt_config(modules: list[str]) -> dict[str, Any]:
    four_bits = {"num_bits": 4, "type": "float", "group_size": 16, "dynamic": False}
    return {"quant_method": "modelopt", "quant_algo": "NVFP4", "producer": {"name": "modelopt", "version": "0.39.0"},
            "config_groups": {"group_0": {"input_activations": four_bits, "weights": four_bits, "targets": ["Linear"]}},
            "ignore": ["lm_head", "*.mlp.gate", "*eh_proj", "*shared_head*"]}


def ct_nvfp4_config(modules: list[str]) -> dict[str, Any]:
    four_bits = {"num_bits": 4, "type": "float", "group_size": 16, "strategy": "tensor_group",
                 "scale_dtype": "torch.float8_e4m3fn", "observer": "minmax"}
    activations = {"actorder": None, "block_structure": None, "dynamic": "local", "symmetric": True} | four_bits
    ignore = ["lm_head", "re:.*self_attn.*", r"re:.*mlp\.gate$", "re:.*shared_head.*"]
    return compressed_tensors("nvfp4-pack-quantized", four_bits, activations, ignore)


def fp8_channel_config(modules: list[str]) -> dict[str, Any]:
    eight_bits = {"num_bits": 8, "type": "float", "group_size": None, "strategy": "channel", "observer": "minmax"}
    activations = {"num_bits": 8, "type": "float", "dynamic": True, "strategy": "token", "symmetric": True, "group_size": None}
    return compressed_tensors("float-quantized", eight_bits, activations, ["lm_head"] + routers(modules))


def fp8_block_config(modules: list[str]) -> dict[str, Any]:
    return {"quant_method": "fp8", "activation_scheme": "dynamic", "fmt": "e4m3", "weight_block_size": [128, 128],
            "modules_to_not_convert": ["lm_head", "model.embed_tokens"] + routers(modules)}


def linear_or_eh_proj(module: str) -> bool:
    return is_linear(module) or module.endswith("eh_proj")


def mlp_or_eh_proj(module: str) -> bool:
    return linear_or_eh_proj(module) and ".self_attn." not in module


def awq_module(module: str) -> bool:
    return is_linear(module) and ".self_attn." not in module and not module.startswith("model.layers.0.")


# name: which modules, how each is packed, the quantization_config, and whether the rest is stored as F16
FORMATS: dict[str, tuple[Callable[[str], bool], Packer, Callable[[list[str]], dict[str, Any]], bool]] = {
    "ct-int4": (after_dense, ct_int(4, 32), int_config(4, 32), False),
    "ct-int4-asym": (after_dense, ct_int4_asymmetric, int_config(4, 32, symmetric=False), False),
    "ct-int8": (after_dense, ct_int(8, -1), int_config(8, -1), False),
    "awq": (awq_module, awq, awq_config, True),
    "gptq": (is_linear, gptq(128, False), gptq_config(128, False), False),
    "gptq-act-order": (is_linear, gptq(32, True), gptq_config(32, True), False),
    "modelopt-nvfp4": (is_linear, modelopt_nvfp4, modelopt_config, False),
    "ct-nvfp4": (mlp_or_eh_proj, ct_nvfp4, ct_nvfp4_config, False),
    "ct-fp8-channel": (linear_or_eh_proj, ct_fp8_channel, fp8_channel_config, False),
    "fp8-block": (linear_or_eh_proj, fp8_block, fp8_block_config, False),
}


def quantize(tensors: Tensors, form: str) -> tuple[Tensors, dict[str, Any]]:
    wanted, pack, config, as_half = FORMATS[form]
    out: Tensors = {}
    for name, tensor in tensors.items():
        module = name.removesuffix(".weight")
        if wanted(module):
            for suffix, part in pack(float_from_bf16(tensor.data)).items():
                out[f"{module}.{suffix}"] = part
        elif as_half and tensor.dtype == "BF16":
            out[name] = Tensor("F16", float_from_bf16(tensor.data).astype(np.float16))
        else:
            out[name] = tensor
    modules = [n.removesuffix(".weight") for n, t in tensors.items() if t.data.ndim == 2]
    return dict(sorted(out.items())), config(modules)


def to_ct_int4(tensors: Tensors) -> tuple[Tensors, dict[str, Any]]:
    return quantize(tensors, "ct-int4")


def dequantize_ct_int4(tensors: Tensors, module: str) -> np.ndarray:
    """The reference weight of a packed module: bf16(q * scale)."""
    words = tensors[module + ".weight_packed"].data.view(np.uint32)
    rows, columns = tensors[module + ".weight_shape"].data
    nibbles = np.stack([(words >> np.uint32(4 * lane)) & 15 for lane in range(8)], -1).reshape(rows, -1)[:, :columns]
    scale = float_from_bf16(tensors[module + ".weight_scale"].data)
    signed = nibbles.astype(np.int32).astype(np.float32) - 8
    return as_bf16(signed * np.repeat(scale, columns // scale.shape[1], axis=1))


def write_quantized(source: Path, folder: Path, form: str) -> None:
    packed, quantization = quantize(read_tensors(source), form)
    write_tensors(folder, packed)
    config = json.loads((source / "config.json").read_text())
    if FORMATS[form][3]:
        config["dtype"] = "float16"
    config["quantization_config"] = quantization
    (folder / "config.json").write_text(json.dumps(dict(sorted(config.items())), ensure_ascii=False, indent=2) + "\n")
    if form == "modelopt-nvfp4":
        sidecar = {"producer": quantization["producer"], "quantization": {
            "quant_algo": "NVFP4", "kv_cache_quant_algo": None, "group_size": 16, "exclude_modules": quantization["ignore"]}}
        (folder / "hf_quant_config.json").write_text(json.dumps(sidecar, indent=2) + "\n")
    if form.startswith("gptq"):
        (folder / "quantize_config.json").write_text(json.dumps(quantization, indent=2) + "\n")
    for name in ("generation_config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copyfile(source / name, folder / name)
    write_sums(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path, help="the BF16 repository")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--format", choices=FORMATS, required=True)
    arguments = parser.parse_args()
    write_quantized(arguments.source, arguments.folder, arguments.format)


if __name__ == "__main__":
    main()
