"""Weights of 4-bit and 8-bit floats with scales (NVFP4, MXFP4, FP8): float32 matrix to tensors."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from packing import as_bf16, from_e4m3, pack_fp4, to_e2m1, to_e4m3, to_e8m0_scale
from repository import Tensor, bf16_from_float

Tensors = dict[str, Tensor]


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


def ct_mxfp4(w: np.ndarray) -> Tensors:
    blocks = w.reshape(w.shape[0], -1, 32)
    codes, scale = to_e8m0_scale(np.abs(blocks).max(-1), 6)
    packed = pack_fp4(to_e2m1(blocks / scale[..., None]).reshape(w.shape))
    return {"weight_packed": Tensor("U8", packed), "weight_scale": Tensor("U8", codes)}


def ct_mxfp8(w: np.ndarray) -> Tensors:
    blocks = w.reshape(w.shape[0], -1, 32)
    codes, scale = to_e8m0_scale(np.abs(blocks).max(-1), 448)
    return {"weight": Tensor("F8_E4M3", to_e4m3(blocks / scale[..., None]).reshape(w.shape)), "weight_scale": Tensor("U8", codes)}


def fp8_tensor(w: np.ndarray) -> tuple[np.ndarray, np.float32]:
    scale = np.float32(max(np.abs(w).max(), 1e-6)) / np.float32(448)
    return to_e4m3(w / scale), scale


def ct_fp8_tensor(w: np.ndarray) -> Tensors:
    """One BF16 scale for the weight and, as activations are static, one for its input."""
    scale = as_bf16(np.array([fp8_tensor(w)[1]]))
    return {"weight": Tensor("F8_E4M3", to_e4m3(w / scale)), "weight_scale": Tensor("BF16", bf16_from_float(scale)),
            "input_scale": Tensor("BF16", bf16_from_float(np.array([8 / 448])))}


def ct_fp8_block(w: np.ndarray) -> Tensors:
    parts = fp8_block(w)
    return {"weight": parts["weight"], "weight_scale": parts["weight_scale_inv"]}


def modelopt_fp8(w: np.ndarray) -> Tensors:
    codes, scale = fp8_tensor(w)
    return {"weight": Tensor("F8_E4M3", codes), "weight_scale": Tensor("F32", np.array(scale, dtype=np.float32)),
            "input_scale": Tensor("F32", np.array(8 / 448, dtype=np.float32))}
