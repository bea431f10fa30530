"""Turns training weights into the published repository, and reads a repository back into training weights.

The published names are those of GLM-4.7-Flash: one tensor per expert matrix, the MTP layer after the last layer with its
own copies of the embedding and the head. A quantized repository (compressed-tensors int4) reads back dequantized. The
model card (README.md) is written by hand and left alone.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

import quantize
from config import write_config
from model import EXPERTS, MTP, Weights, shapes
from repository import Tensor, bf16_from_float, float_from_bf16, read_tensors, write_sums, write_tensors
from tokenizer import write_tokenizer

COPIES = {f"model.layers.{MTP}.embed_tokens.weight": "model.embed_tokens.weight",
          f"model.layers.{MTP}.shared_head.head.weight": "lm_head.weight"}


def published_names(name: str) -> list[str]:
    """The published tensors of a training weight: one, or one per expert."""
    if name.endswith("e_score_correction_bias"):
        return ["model." + name]
    if name == "lm_head":
        return ["lm_head.weight"]
    if ".mlp.experts." in name:
        return ["model." + name.replace(".experts.", f".experts.{expert}.") + ".weight" for expert in range(EXPERTS)]
    return ["model." + name + ".weight"]


def to_repository(weights: Weights) -> dict[str, Tensor]:
    out: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        values = tensor.detach().float().cpu().numpy()
        names = published_names(name)
        for published, value in zip(names, values if len(names) > 1 else [values]):
            keep = published.endswith("bias")
            out[published] = Tensor("F32", value.astype(np.float32)) if keep else Tensor("BF16", bf16_from_float(value))
    return out | {copy: out[source] for copy, source in COPIES.items()}


def from_repository(tensors: dict[str, Tensor]) -> Weights:
    def values(name: str) -> np.ndarray:
        tensor = tensors.get(name)
        if tensor is None:
            return quantize.dequantize_ct_int4(tensors, name.removesuffix(".weight"))
        return tensor.data if tensor.dtype == "F32" else float_from_bf16(tensor.data)

    out: Weights = {}
    for name, shape in shapes().items():
        parts = [values(published) for published in published_names(name)]
        out[name] = torch.from_numpy(np.stack(parts)).reshape(shape)
    return out


def read_repository(folder: Path) -> Weights:
    return from_repository(read_tensors(folder))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", type=Path, help="the .pt file train.py wrote")
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    weights = torch.load(arguments.weights, map_location="cpu", weights_only=True)
    write_tensors(arguments.folder, to_repository(weights))
    write_config(arguments.folder)
    write_tokenizer(arguments.folder)
    write_sums(arguments.folder)


if __name__ == "__main__":
    main()
