"""Writes the quantized forms of a BF16 repository: numpy alone, the same bytes on every machine.

Packers lie in pack_integers.py and pack_floats.py; here is which modules each format packs and what config.json says of
it. Only element-wise IEEE operations and integer packing are used (sums run in a fixed order), so a committed hash can
stand for the files. Scales come from the weights alone; int4 groups choose theirs by the smallest squared error.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pack_floats import (ct_fp8_block, ct_fp8_channel, ct_fp8_tensor, ct_mxfp4, ct_mxfp8, ct_nvfp4, fp8_block, modelopt_fp8,
                         modelopt_nvfp4)
from pack_integers import (Packer, Tensors, awq, ct_int, ct_int4_ordered, ct_int8_plain, ct_int_asymmetric, gptq,
                           gptq_v2_asymmetric)
from packing import as_bf16
from repository import Tensor, float_from_bf16, read_tensors, write_sums, write_tensors

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


def int_config(bits: int, group: int, symmetric: bool = True, actorder: str | None = None) -> Callable[[list[str]], dict[str, Any]]:
    def config(modules: list[str]) -> dict[str, Any]:
        ignore = sorted(m for m in modules if is_linear(m) and not after_dense(m)) + ["lm_head"]
        size = {"group_size": group, "strategy": "group"} if group > 0 else {"group_size": None, "strategy": "channel"}
        weights = {"num_bits": bits, "type": "int", "symmetric": symmetric, "actorder": actorder} | size
        return compressed_tensors("pack-quantized", weights, None, ignore)
    return config


def awq_config(modules: list[str]) -> dict[str, Any]:
    return {"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True, "version": "gemm",
            "modules_to_not_convert": ["model.layers.0.", "self_attn", "mlp.gate.", "eh_proj", "lm_head", "shared_head"]}


def gptq_config(group: int, activation_order: bool, bits: int = 4, **other: Any) -> Callable[[list[str]], dict[str, Any]]:
    dynamic = other.pop("dynamic", {}) | {"-:.*eh_proj": {}, "-:.*shared_head.*": {}}
    return lambda modules: {
        "quant_method": "gptq", "bits": bits, "group_size": group, "desc_act": activation_order, "sym": True,
        "checkpoint_format": "gptq", "pack_dtype": "int32", "lm_head": False, "static_groups": False, "true_sequential": True,
        "damp_percent": 0.05, "dynamic": dynamic, "meta": {"quantizer": ["gptqmodel:5.0.0"]}} | other


NVFP4_ARGUMENTS = {"num_bits": 4, "type": "float", "group_size": 16}
MODELOPT_IGNORE = ["lm_head", "*.mlp.gate", "*eh_proj", "*shared_head*"]


def modelopt_config(algo: str, weights: dict[str, Any]) -> Callable[[list[str]], dict[str, Any]]:
    arguments = weights | {"dynamic": False}
    return lambda modules: {
        "quant_method": "modelopt", "quant_algo": algo, "producer": {"name": "modelopt", "version": "0.39.0"},
        "config_groups": {"group_0": {"input_activations": arguments, "weights": arguments, "targets": ["Linear"]}},
        "ignore": MODELOPT_IGNORE}


def modelopt_mixed_config(modules: list[str]) -> dict[str, Any]:
    nvfp4 = {"quant_algo": "NVFP4", "group_size": 16}
    layers = {m: {"quant_algo": "FP8"} if is_attention(m) else nvfp4 for m in sorted(modules) if attention_or_expert(m)}
    return {"quant_method": "modelopt", "quant_algo": "MIXED_PRECISION", "producer": {"name": "modelopt", "version": "0.39.0"},
            "quantized_layers": layers}


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


def int8_plain_config(modules: list[str]) -> dict[str, Any]:
    eight_bits = {"num_bits": 8, "type": "int", "group_size": None, "strategy": "channel", "observer": "minmax"}
    activations = {"num_bits": 8, "type": "int", "dynamic": True, "strategy": "token", "symmetric": True, "group_size": None}
    return compressed_tensors("int-quantized", eight_bits, activations, ["lm_head"] + routers(modules))


def fp8_tensor_config(modules: list[str]) -> dict[str, Any]:
    eight_bits = {"num_bits": 8, "type": "float", "group_size": None, "strategy": "tensor", "observer": "minmax"}
    activations = {"num_bits": 8, "type": "float", "dynamic": False, "strategy": "tensor", "symmetric": True, "group_size": None}
    return compressed_tensors("float-quantized", eight_bits, activations, ["lm_head"] + routers(modules))


def ct_fp8_block_config(modules: list[str]) -> dict[str, Any]:
    eight_bits = {"num_bits": 8, "type": "float", "group_size": None, "strategy": "block", "block_structure": [128, 128],
                  "observer": "minmax"}
    activations = {"num_bits": 8, "type": "float", "dynamic": True, "strategy": "group", "symmetric": True, "group_size": 128}
    return compressed_tensors("float-quantized", eight_bits, activations, ["lm_head"] + routers(modules))


def mx_config(form: str, bits: int) -> Callable[[list[str]], dict[str, Any]]:
    weights = {"num_bits": bits, "type": "float", "group_size": 32, "strategy": "group", "scale_dtype": "torch.uint8",
               "zp_dtype": "torch.uint8", "observer": "minmax"}
    ignore = ["lm_head", "re:.*self_attn.*", r"re:.*mlp\.gate$", "re:.*shared_head.*"]
    return lambda modules: compressed_tensors(form, weights, None, ignore)


def fp8_block_config(modules: list[str]) -> dict[str, Any]:
    return {"quant_method": "fp8", "activation_scheme": "dynamic", "fmt": "e4m3", "weight_block_size": [128, 128],
            "modules_to_not_convert": ["lm_head", "model.embed_tokens"] + routers(modules)}


def is_attention(module: str) -> bool:
    return is_linear(module) and ".self_attn." in module


def attention_or_expert(module: str) -> bool:
    return is_attention(module) or (is_linear(module) and ".experts." in module)


EARLY_EXPERT = r".*\.mlp\.experts\.[0-3]\..*"


def gptq_mixed(module: str, w: np.ndarray) -> Tensors:
    """8 bits, and 4 for the first experts of each layer."""
    return gptq(128, False, 4 if re.match(EARLY_EXPERT, module) else 8)(w)


def modelopt_mixed(module: str, w: np.ndarray) -> Tensors:
    return modelopt_fp8(w) if is_attention(module) else modelopt_nvfp4(w)


def linear_or_eh_proj(module: str) -> bool:
    return is_linear(module) or module.endswith("eh_proj")


def mlp_or_eh_proj(module: str) -> bool:
    return linear_or_eh_proj(module) and ".self_attn." not in module


def awq_module(module: str) -> bool:
    return is_linear(module) and ".self_attn." not in module and not module.startswith("model.layers.0.")


@dataclass(frozen=True)
class Format:
    wanted: Callable[[str], bool]  # which modules are packed
    pack: Callable[[str, np.ndarray], Tensors]
    config: Callable[[list[str]], dict[str, Any]]  # quantization_config, given all modules
    rest_is_half: bool = False  # whatever is not packed is stored as F16


def same(pack: Packer) -> Callable[[str, np.ndarray], Tensors]:
    """Packs every module the same way."""
    return lambda module, w: pack(w)


FORMATS: dict[str, Format] = {
    "ct-int4": Format(after_dense, same(ct_int(4, 32)), int_config(4, 32)),
    "ct-int4-asym": Format(after_dense, same(ct_int_asymmetric(4, 32)), int_config(4, 32, symmetric=False)),
    "ct-int4-act-order": Format(after_dense, same(ct_int4_ordered), int_config(4, 32, actorder="group")),
    "ct-int8": Format(after_dense, same(ct_int(8, -1)), int_config(8, -1)),
    "ct-int8-asym": Format(after_dense, same(ct_int_asymmetric(8, 64)), int_config(8, 64, symmetric=False)),
    "ct-int8-plain": Format(linear_or_eh_proj, same(ct_int8_plain), int8_plain_config),
    "awq": Format(awq_module, same(awq), awq_config, rest_is_half=True),
    "gptq": Format(is_linear, same(gptq(128, False)), gptq_config(128, False)),
    "gptq-act-order": Format(is_linear, same(gptq(32, True)), gptq_config(32, True)),
    "gptq-v2-asym": Format(is_linear, same(gptq_v2_asymmetric), gptq_config(64, False, sym=False, checkpoint_format="gptq_v2")),
    "gptq-mixed": Format(is_linear, gptq_mixed, gptq_config(128, False, 8, dynamic={"+:" + EARLY_EXPERT: {"bits": 4}})),
    "modelopt-nvfp4": Format(is_linear, same(modelopt_nvfp4), modelopt_config("NVFP4", NVFP4_ARGUMENTS)),
    "modelopt-fp8": Format(is_linear, same(modelopt_fp8), modelopt_config("FP8", {"num_bits": 8, "type": "float"})),
    "modelopt-mixed": Format(attention_or_expert, modelopt_mixed, modelopt_mixed_config),
    "ct-nvfp4": Format(mlp_or_eh_proj, same(ct_nvfp4), ct_nvfp4_config),
    "ct-mxfp4": Format(mlp_or_eh_proj, same(ct_mxfp4), mx_config("mxfp4-pack-quantized", 4)),
    "ct-mxfp8": Format(mlp_or_eh_proj, same(ct_mxfp8), mx_config("mxfp8-quantized", 8)),
    "ct-fp8-channel": Format(linear_or_eh_proj, same(ct_fp8_channel), fp8_channel_config),
    "ct-fp8-tensor": Format(linear_or_eh_proj, same(ct_fp8_tensor), fp8_tensor_config),
    "ct-fp8-block": Format(linear_or_eh_proj, same(ct_fp8_block), ct_fp8_block_config),
    "fp8-block": Format(linear_or_eh_proj, same(fp8_block), fp8_block_config),
}


def quantize(tensors: Tensors, form: str) -> tuple[Tensors, dict[str, Any]]:
    how = FORMATS[form]
    out: Tensors = {}
    for name, tensor in tensors.items():
        module = name.removesuffix(".weight")
        if how.wanted(module):
            for suffix, part in how.pack(module, float_from_bf16(tensor.data)).items():
                out[f"{module}.{suffix}"] = part
        elif how.rest_is_half and tensor.dtype == "BF16":
            out[name] = Tensor("F16", float_from_bf16(tensor.data).astype(np.float16))
        else:
            out[name] = tensor
    modules = [n.removesuffix(".weight") for n, t in tensors.items() if t.data.ndim == 2]
    return dict(sorted(out.items())), how.config(modules)


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
    if FORMATS[form].rest_is_half:
        config["dtype"] = "float16"
    config["quantization_config"] = quantization
    (folder / "config.json").write_text(json.dumps(dict(sorted(config.items())), ensure_ascii=False, indent=2) + "\n")
    if form.startswith("modelopt"):
        described = {"quant_algo": quantization["quant_algo"], "kv_cache_quant_algo": None}
        if "quantized_layers" in quantization:
            described |= {"quantized_layers": quantization["quantized_layers"]}
        else:
            described |= {"group_size": 16} if form == "modelopt-nvfp4" else {}
            described |= {"exclude_modules": quantization["ignore"]}
        sidecar = {"producer": quantization["producer"], "quantization": described}
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
