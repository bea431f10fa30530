"""Decodes every packed weight of the tiny family with the libraries that define the formats, and writes their hashes.

    python3 decode_reference.py FAMILY --out ../../tests/golden/tiny/weight_hashes.json

FAMILY is a folder with one repository per format, as tests/train_tiny/family.py writes it. Which library decodes which format, and what it
returns, is in ORACLES. Made with Python 3.11, torch 2.15.0 (CPU), compressed-tensors 0.20.0 (and 0.13.0, the last series
that knows activation order, for ct-int4-act-order: a folder given as --old-compressed-tensors), autoawq 0.2.9,
gptqmodel 7.7.0, nvidia-modelopt 0.47.0, all installed without their GPU parts.

A hash covers the weights of all modules of one kind ("experts.down_proj"), in the order of their names, each row-major in
the dtype of the library, little endian. nvidia-modelopt reads the E2M1 code of -0 as +0: where `signed_zeros` is false, every
zero is positive.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from repository import read_tensors

Parts = dict[str, torch.Tensor]
Decoder = Callable[[Parts, dict[str, Any], str], torch.Tensor]

TORCH = {"BF16": torch.bfloat16, "F8_E4M3": torch.float8_e4m3fn}
NAMES = {torch.bfloat16: "BF16", torch.float16: "F16", torch.float32: "F32"}
SUFFIXES = ("weight_packed", "weight_scale", "weight_shape", "weight_zero_point", "weight_g_idx", "weight_global_scale",
            "weight_scale_inv", "weight_scale_2", "input_scale", "input_global_scale", "qweight", "qzeros", "scales", "g_idx",
            "weight")


def source_of(package: str, path: str) -> Any:
    """One file of an installed package, without running the package's own __init__."""
    root = importlib.util.find_spec(package).submodule_search_locations[0]
    spec = importlib.util.spec_from_file_location(path.replace("/", "_")[:-3], Path(root) / path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# ---- compressed-tensors -----------------------------------------------------------------------------------------------------

def ct_scheme(config: dict[str, Any]) -> Any:
    from compressed_tensors.quantization import QuantizationScheme
    group = config["config_groups"]["group_0"]
    return QuantizationScheme(targets=["Linear"], weights=group["weights"], input_activations=group["input_activations"])


def compressed_tensors(parts: Parts, config: dict[str, Any], module: str) -> torch.Tensor:
    from compressed_tensors.compressors.base import BaseCompressor
    compressor = BaseCompressor.get_value_from_registry(config["format"])
    return compressor.decompress(parts, ct_scheme(config))["weight"]


def compressed_tensors_0_13(parts: Parts, config: dict[str, Any], module: str) -> torch.Tensor:
    from compressed_tensors.compressors.quantized_compressors.pack_quantized import PackedQuantizationCompressor
    from compressed_tensors.quantization import QuantizationArgs
    arguments = QuantizationArgs(num_bits=4, type="int", strategy="group", group_size=32, actorder="group")
    return PackedQuantizationCompressor().decompress_weight(parts, arguments)


def ct_as_block(parts: Parts, config: dict[str, Any], module: str) -> torch.Tensor:
    """transformers' own decoder refuses ragged blocks; compressed-tensors names the same tensors differently."""
    arguments = {"num_bits": 8, "type": "float", "strategy": "block", "block_structure": config["weight_block_size"]}
    config = {"format": "float-quantized", "config_groups": {"group_0": {"weights": arguments, "input_activations": None}}}
    return compressed_tensors({"weight": parts["weight"], "weight_scale": parts["weight_scale_inv"]}, config, module)


# ---- AutoAWQ, GPTQModel, ModelOpt -------------------------------------------------------------------------------------------

def autoawq(parts: Parts, config: dict[str, Any], module: str) -> torch.Tensor:
    packing = source_of("awq", "utils/packing_utils.py")
    return packing.dequantize_gemm(parts["qweight"], parts["qzeros"], parts["scales"], 4, config["group_size"]).T


def gptqmodel(parts: Parts, config: dict[str, Any], module: str) -> torch.Tensor:
    from gptqmodel.nn_modules.qlinear.torch import TorchLinear
    from gptqmodel.utils.model import convert_gptq_v1_to_v2_format_module
    arguments = {name: config[name] for name in ("bits", "group_size", "sym", "desc_act")}
    for pattern, override in config["dynamic"].items():
        if pattern.startswith("+:") and re.match(pattern[2:], module):
            arguments |= override
            break
    columns, rows = len(parts["g_idx"]), parts["scales"].shape[1]
    layer = TorchLinear(in_features=columns, out_features=rows, bias=False, pack_dtype=torch.int32, register_buffers=True,
                        **arguments)
    for name, tensor in parts.items():
        getattr(layer, name).copy_(tensor)
    layer.post_init()
    if config["checkpoint_format"] == "gptq":
        convert_gptq_v1_to_v2_format_module(layer, arguments["bits"], torch.int32)
    return layer.dequantize_weight().T


def modelopt(parts: Parts, config: dict[str, Any], module: str) -> torch.Tensor:
    """NVFP4 in BF16, the model's dtype; FP8 in F32, so that its scale is not rounded to BF16 before the product."""
    from modelopt.torch.quantization.qtensor.fp8_tensor import FP8QTensor
    from modelopt.torch.quantization.qtensor.nvfp4_tensor import NVFP4QTensor
    weight = parts["weight"]
    if weight.dtype == torch.float8_e4m3fn:
        return FP8QTensor(weight.shape, torch.float32, weight).dequantize(scale=parts["weight_scale"])
    shape = torch.Size((weight.shape[0], 2 * weight.shape[1]))
    return NVFP4QTensor(shape, torch.bfloat16, weight).dequantize(
        scale=parts["weight_scale"], double_scale=parts["weight_scale_2"], block_sizes={-1: 16})


ORACLES: dict[str, tuple[str, Decoder]] = {
    "ct-": ("compressed-tensors", compressed_tensors),
    "ct-int4-act-order": ("compressed-tensors 0.13.0", compressed_tensors_0_13),
    "fp8-block": ("compressed-tensors", ct_as_block),
    "awq": ("autoawq", autoawq),
    "gptq": ("gptqmodel", gptqmodel),
    "modelopt": ("nvidia-modelopt", modelopt),
}


def oracle_of(form: str) -> tuple[str, Decoder]:
    return ORACLES[max((prefix for prefix in ORACLES if form.startswith(prefix)), key=len)]


# ---- a repository -----------------------------------------------------------------------------------------------------------

def packed_modules(folder: Path) -> dict[str, Parts]:
    modules: dict[str, Parts] = {}
    for name, tensor in read_tensors(folder).items():
        suffix = next((s for s in SUFFIXES if name.endswith("." + s)), None)
        if suffix:
            data = torch.from_numpy(tensor.data.copy())
            module = name.removesuffix("." + suffix)
            modules.setdefault(module, {})[suffix] = data.view(TORCH[tensor.dtype]) if tensor.dtype in TORCH else data
    return {module: parts for module, parts in sorted(modules.items()) if len(parts) > 1}


def kind_of(module: str) -> str:
    return re.sub(r"^model\.layers\.\d+\.(mlp\.|self_attn\.)?(experts\.)?(\d+\.)?", r"\2", module)


def hashes_of(folder: Path, form: str) -> dict[str, Any]:
    config = json.loads((folder / "config.json").read_text())["quantization_config"]
    oracle, decode = oracle_of(form)
    signed_zeros = oracle != "nvidia-modelopt"
    digests: dict[str, Any] = {}
    for module, parts in packed_modules(folder).items():
        weight = decode(parts, config, module).contiguous()
        kind = digests.setdefault(kind_of(module), {"modules": 0, "dtype": NAMES[weight.dtype], "sha256": hashlib.sha256()})
        assert kind["dtype"] == NAMES[weight.dtype], module
        kind["modules"] += 1
        if not signed_zeros:
            weight = weight + 0
        kind["sha256"].update(weight.view(torch.uint8).numpy().tobytes())
    for kind in digests.values():
        kind["sha256"] = kind["sha256"].hexdigest()
    return {"oracle": oracle, "signed_zeros": signed_zeros, "kinds": dict(sorted(digests.items()))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("family", type=Path)
    parser.add_argument("--old-compressed-tensors", type=Path, help="a folder with compressed-tensors 0.13.0")
    parser.add_argument("--only", help="one format, to standard output")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    if arguments.only:
        if arguments.old_compressed_tensors:
            sys.path.insert(0, str(arguments.old_compressed_tensors))
        print(json.dumps(hashes_of(arguments.family / arguments.only, arguments.only)))
        return
    formats: dict[str, Any] = {}
    for folder in sorted(p for p in arguments.family.iterdir() if p.is_dir()):
        # A process each: two versions of one library do not share one.
        command = [sys.executable, __file__, str(arguments.family), "--only", folder.name]
        if oracle_of(folder.name)[1] is compressed_tensors_0_13:
            command += ["--old-compressed-tensors", str(arguments.old_compressed_tensors)]
        formats[folder.name] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout.splitlines()[-1])
    arguments.out.write_text(json.dumps(formats, indent=1) + "\n")


if __name__ == "__main__":
    main()
