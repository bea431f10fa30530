"""Weights of 4 and 8 bits with scales, as compressed-tensors, AutoAWQ and GPTQ store them: float32 matrix to tensors."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from packing import as_bf16, as_f16, pack_awq, pack_rows
from repository import Tensor, bf16_from_float

Tensors = dict[str, Tensor]
Packer = Callable[[np.ndarray], Tensors]


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


def asymmetric_groups(w: np.ndarray, group: int, round_scale: Callable[[np.ndarray], np.ndarray], bits: int = 4
                      ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Unsigned values, scales and zero points from the range of each group, zero included."""
    top = 2**bits - 1
    groups = w.reshape(w.shape[0], -1, group)
    low, high = np.minimum(groups.min(-1), 0), np.maximum(groups.max(-1), 0)
    scale = round_scale(np.maximum((high - low) / np.float32(top), np.float32(1e-6)))
    zero = np.clip(np.rint(-low / scale), 0, top).astype(np.int32)
    q = np.clip(np.rint(groups / scale[..., None]) + zero[..., None], 0, top).astype(np.int32)
    return q.reshape(w.shape), scale, zero


def ct_int(bits: int, group: int) -> Packer:
    def pack(w: np.ndarray) -> Tensors:
        q, scale = symmetric_groups(w, group if group > 0 else w.shape[1], bits, as_bf16)
        return {"weight_packed": Tensor("I32", pack_rows(q + 2 ** (bits - 1), bits)),
                "weight_scale": Tensor("BF16", bf16_from_float(scale)),
                "weight_shape": Tensor("I64", np.array(w.shape, dtype=np.int64))}
    return pack


def ct_int_asymmetric(bits: int, group: int) -> Packer:
    def pack(w: np.ndarray) -> Tensors:
        q, scale, zero = asymmetric_groups(w, group, as_bf16, bits)
        return {"weight_packed": Tensor("I32", pack_rows(q, bits)),
                "weight_scale": Tensor("BF16", bf16_from_float(scale)),
                "weight_shape": Tensor("I64", np.array(w.shape, dtype=np.int64)),
                "weight_zero_point": Tensor("I32", np.ascontiguousarray(pack_rows(zero.T, bits).T))}
    return pack


def by_loudness(w: np.ndarray) -> np.ndarray:
    """Stands in for the order of activations: the loudest columns first."""
    return np.argsort(-squared_error(w.T), kind="stable")


def in_order(q: np.ndarray, order: np.ndarray, group: int) -> tuple[np.ndarray, np.ndarray]:
    """Values whose columns were taken in `order`, back in their places, and the group of each column."""
    original = np.empty_like(q)
    original[:, order] = q
    g_idx = np.empty(len(order), dtype=np.int32)
    g_idx[order] = np.arange(len(order)) // group
    return original, g_idx


def ct_int4_ordered(w: np.ndarray) -> Tensors:
    order = by_loudness(w)
    q, scale = symmetric_groups(w[:, order], 32, 4, as_bf16)
    original, g_idx = in_order(q, order, 32)
    return {"weight_packed": Tensor("I32", pack_rows(original + 8, 4)),
            "weight_scale": Tensor("BF16", bf16_from_float(scale)),
            "weight_shape": Tensor("I64", np.array(w.shape, dtype=np.int64)), "weight_g_idx": Tensor("I32", g_idx)}


def ct_int8_plain(w: np.ndarray) -> Tensors:
    """int-quantized: one byte per weight under the plain name."""
    q, scale = symmetric_groups(w, w.shape[1], 8, as_bf16)
    return {"weight": Tensor("I8", q.astype(np.int8)), "weight_scale": Tensor("BF16", bf16_from_float(scale))}


def awq(w: np.ndarray) -> Tensors:
    q, scale, zero = asymmetric_groups(w, 128, as_f16)
    return {"qweight": Tensor("I32", pack_awq(q.T)), "qzeros": Tensor("I32", pack_awq(zero.T)),
            "scales": Tensor("F16", np.ascontiguousarray(scale.T).astype(np.float16))}


def gptq_tensors(unsigned: np.ndarray, scale: np.ndarray, zero_words: np.ndarray, g_idx: np.ndarray, bits: int) -> Tensors:
    return {"qweight": Tensor("I32", np.ascontiguousarray(pack_rows(unsigned, bits).T)), "qzeros": Tensor("I32", zero_words),
            "g_idx": Tensor("I32", g_idx), "scales": Tensor("F16", np.ascontiguousarray(scale.T).astype(np.float16))}


def gptq(group: int, activation_order: bool, bits: int = 4) -> Packer:
    """Symmetric, with the zeros of version 1: the middle of the range, stored minus one."""
    def pack(w: np.ndarray) -> Tensors:
        order = by_loudness(w) if activation_order else np.arange(w.shape[1])
        q, scale = symmetric_groups(w[:, order], group, bits, as_f16)
        original, g_idx = in_order(q, order, group)
        middle = 0x77777777 if bits == 4 else 0x7F7F7F7F
        zeros = np.full((w.shape[1] // group, w.shape[0] * bits // 32), middle, dtype=np.int32)
        return gptq_tensors(original + 2 ** (bits - 1), scale, zeros, g_idx, bits)
    return pack


def gptq_v2_asymmetric(w: np.ndarray) -> Tensors:
    """Zero points as they are."""
    q, scale, zero = asymmetric_groups(w, 64, as_f16)
    return gptq_tensors(q, scale, pack_rows(np.ascontiguousarray(zero.T), 4), (np.arange(w.shape[1]) // 64).astype(np.int32), 4)
