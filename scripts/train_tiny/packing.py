"""Numbers of few bits and how they are packed: E4M3, E2M1, E8M0, and words of integers. Element-wise numpy only."""

from __future__ import annotations

import numpy as np

from repository import bf16_from_float, float_from_bf16

AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)
E2M1 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6], dtype=np.float32)


def _e4m3_table() -> np.ndarray:
    codes = np.arange(127)
    exponent, mantissa = codes >> 3, codes & 7
    small = mantissa / 8 * 2.0**-6
    normal = (1 + mantissa / 8) * 2.0 ** (exponent - 7.0)
    return np.where(exponent == 0, small, normal).astype(np.float32)


E4M3 = _e4m3_table()


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


def as_bf16(values: np.ndarray) -> np.ndarray:
    return float_from_bf16(bf16_from_float(values))


def as_f16(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float16).astype(np.float32)


def to_e8m0_scale(peak: np.ndarray, largest: float) -> tuple[np.ndarray, np.ndarray]:
    """Codes and values of the smallest power of two that brings `peak` down to `largest` or below."""
    _, exponent = np.frexp(np.maximum(peak, np.float32(1e-6)) / np.float32(largest))  # peak <= largest * 2^exponent
    return (exponent + 127).astype(np.uint8), np.ldexp(np.float32(1), exponent).astype(np.float32)
