"""Writes a checkpoint of random weights in true dimensions: the published layout, none of the published numbers.

    python3 checkpoint.py FOLDER --model glm-4.7-flash --format ct-int4 [--layers 4] [--dense 1] [--mtp] [--like cyankiwi]

Needs torch and safetensors; a GPU makes it fast. With --like cyankiwi layer 0, the shared experts and the head stay bf16, as in
cyankiwi/GLM-4.7-Flash-AWQ-4bit; otherwise every linear layer but head and router has the format.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from safetensors.torch import save_file

from formats import DEVICE, FORMATS, Parts, Shape, make_bf16

FLASH = {
    "architectures": ["Glm4MoeLiteForCausalLM"], "model_type": "glm4_moe_lite", "attention_bias": False, "hidden_act": "silu",
    "hidden_size": 2048, "intermediate_size": 10240, "kv_lora_rank": 512, "max_position_embeddings": 202752,
    "moe_intermediate_size": 1536, "n_group": 1, "n_routed_experts": 64, "n_shared_experts": 1, "norm_topk_prob": True,
    "num_attention_heads": 20, "num_experts_per_tok": 4, "num_hidden_layers": 47, "num_key_value_heads": 20,
    "num_nextn_predict_layers": 1, "q_lora_rank": 768, "qk_nope_head_dim": 192, "qk_rope_head_dim": 64, "v_head_dim": 256,
    "rms_norm_eps": 1e-6, "rope_interleave": True, "rope_parameters": {"rope_theta": 1000000.0, "rope_type": "default"},
    "routed_scaling_factor": 1.8, "tie_word_embeddings": False, "topk_group": 1, "topk_method": "noaux_tc",
    "vocab_size": 154880, "first_k_dense_replace": 1, "eos_token_id": [154820, 154827, 154829], "pad_token_id": 154820,
    "dtype": "bfloat16",
}
LARGE = {
    "architectures": ["Glm4MoeForCausalLM"], "model_type": "glm4_moe", "attention_bias": True, "hidden_act": "silu",
    "head_dim": 128, "hidden_size": 5120, "intermediate_size": 12288, "max_position_embeddings": 202752,
    "moe_intermediate_size": 1536, "n_group": 1, "n_routed_experts": 160, "n_shared_experts": 1, "norm_topk_prob": True,
    "num_attention_heads": 96, "num_experts_per_tok": 8, "num_hidden_layers": 92, "num_key_value_heads": 8,
    "num_nextn_predict_layers": 1, "partial_rotary_factor": 0.5, "rms_norm_eps": 1e-6, "rope_theta": 1000000.0,
    "routed_scaling_factor": 2.5, "tie_word_embeddings": False, "topk_group": 1, "use_qk_norm": True, "vocab_size": 151552,
    "first_k_dense_replace": 3, "eos_token_id": [151329, 151336, 151338], "pad_token_id": 151329, "dtype": "bfloat16",
}
MODELS = {"glm-4.7-flash": FLASH, "glm-4.7": LARGE}

SHARD_BYTES = 5_000_000_000


class Model:
    """Names and shapes of everything a checkpoint of this configuration holds."""

    def __init__(self, config: dict, with_mtp: bool = False) -> None:
        self.config = config
        self.layers = config["num_hidden_layers"] + (1 if with_mtp else 0)

    def attention(self, prefix: str) -> dict[str, Shape]:
        c, h = self.config, self.config["hidden_size"]
        heads = c["num_attention_heads"]
        if "kv_lora_rank" in c:
            rope, nope, v = c["qk_rope_head_dim"], c["qk_nope_head_dim"], c["v_head_dim"]
            return {f"{prefix}.q_a_proj": Shape(c["q_lora_rank"], h),
                    f"{prefix}.q_b_proj": Shape(heads * (nope + rope), c["q_lora_rank"]),
                    f"{prefix}.kv_a_proj_with_mqa": Shape(c["kv_lora_rank"] + rope, h),
                    f"{prefix}.kv_b_proj": Shape(heads * (nope + v), c["kv_lora_rank"]),
                    f"{prefix}.o_proj": Shape(h, heads * v)}
        d, kv = c["head_dim"], c["num_key_value_heads"]
        return {f"{prefix}.q_proj": Shape(heads * d, h), f"{prefix}.k_proj": Shape(kv * d, h),
                f"{prefix}.v_proj": Shape(kv * d, h), f"{prefix}.o_proj": Shape(h, heads * d)}

    def mlp(self, prefix: str, inner: int) -> dict[str, Shape]:
        h = self.config["hidden_size"]
        return {f"{prefix}.gate_proj": Shape(inner, h), f"{prefix}.up_proj": Shape(inner, h),
                f"{prefix}.down_proj": Shape(h, inner)}

    def linears(self, layer: int) -> dict[str, Shape]:
        c, prefix = self.config, f"model.layers.{layer}"
        modules = self.attention(f"{prefix}.self_attn")
        if layer < c["first_k_dense_replace"]:
            return modules | self.mlp(f"{prefix}.mlp", c["intermediate_size"])
        for expert in range(c["n_routed_experts"]):
            modules |= self.mlp(f"{prefix}.mlp.experts.{expert}", c["moe_intermediate_size"])
        return modules | self.mlp(f"{prefix}.mlp.shared_experts", c["moe_intermediate_size"] * c["n_shared_experts"])

    def vectors(self, layer: int) -> dict[str, torch.Tensor]:
        c, prefix = self.config, f"model.layers.{layer}"

        def norm(size: int) -> torch.Tensor:
            return (1 + 0.2 * (torch.rand(size, device=DEVICE) - 0.5)).to(torch.bfloat16)
        out = {f"{prefix}.{name}.weight": norm(c["hidden_size"]) for name in ("input_layernorm", "post_attention_layernorm")}
        if "kv_lora_rank" in c:
            out[f"{prefix}.self_attn.q_a_layernorm.weight"] = norm(c["q_lora_rank"])
            out[f"{prefix}.self_attn.kv_a_layernorm.weight"] = norm(c["kv_lora_rank"])
        else:
            for name in ("q_norm", "k_norm"):
                out[f"{prefix}.self_attn.{name}.weight"] = norm(c["head_dim"])
            for name, heads in (("q_proj", c["num_attention_heads"]), ("k_proj", c["num_key_value_heads"]),
                                ("v_proj", c["num_key_value_heads"])):
                bias = 0.1 * torch.randn(heads * c["head_dim"], device=DEVICE)
                out[f"{prefix}.self_attn.{name}.bias"] = bias.to(torch.bfloat16)
        if layer >= c["first_k_dense_replace"]:
            experts = c["n_routed_experts"]
            router = torch.randn(experts, c["hidden_size"], device=DEVICE) * 0.03
            out[f"{prefix}.mlp.gate.weight"] = router.to(torch.bfloat16)
            out[f"{prefix}.mlp.gate.e_score_correction_bias"] = 7 + 0.05 * torch.randn(experts, device=DEVICE)
        return out

    def ends(self) -> dict[str, torch.Tensor]:
        shape = Shape(self.config["vocab_size"], self.config["hidden_size"])
        return {"model.embed_tokens.weight": make_bf16(shape, 1.0)["weight"], "lm_head.weight": make_bf16(shape, 0.02)["weight"],
                "model.norm.weight": torch.ones(shape.cols, dtype=torch.bfloat16, device=DEVICE)}

    def mtp(self, layer: int) -> dict[str, torch.Tensor]:
        h, prefix = self.config["hidden_size"], f"model.layers.{layer}"
        table = Shape(self.config["vocab_size"], h)
        ones = torch.ones(h, dtype=torch.bfloat16, device=DEVICE)
        return {f"{prefix}.eh_proj.weight": make_bf16(Shape(h, 2 * h), 0.02)["weight"], f"{prefix}.enorm.weight": ones,
                f"{prefix}.hnorm.weight": ones.clone(), f"{prefix}.shared_head.norm.weight": ones.clone(),
                f"{prefix}.embed_tokens.weight": make_bf16(table, 1.0)["weight"],
                f"{prefix}.shared_head.head.weight": make_bf16(table, 0.02)["weight"]}


def is_plain(module: str, like: str) -> bool:
    return like == "cyankiwi" and (module.startswith("model.layers.0.") or ".shared_experts." in module)


def std_of(shape: Shape) -> float:
    return shape.cols ** -0.5


def tensors(model: Model, form: str, like: str) -> Iterator[dict[str, torch.Tensor]]:
    """One layer at a time, on the GPU."""
    yield model.ends()
    for layer in range(model.layers):
        out = model.vectors(layer)
        for module, shape in model.linears(layer).items():
            make = make_bf16 if is_plain(module, like) else FORMATS[form].make
            parts: Parts = make(shape, std_of(shape))
            out |= {f"{module}.{suffix}": part for suffix, part in parts.items()}
        if layer >= model.config["num_hidden_layers"]:
            out |= model.mtp(layer)
        yield out


def write(folder: Path, model: Model, form: str, like: str = "", see: Callable[[dict[str, torch.Tensor]], None] | None = None
          ) -> int:
    """Returns the bytes of all tensors. `see` is shown the tensors of one layer after the other."""
    folder.mkdir(parents=True, exist_ok=True)
    config = dict(model.config)
    if FORMATS[form].config is not None:
        config["quantization_config"] = FORMATS[form].config
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    index: dict[str, str] = {}
    shard: dict[str, torch.Tensor] = {}
    total = 0

    def flush() -> None:
        name = f"model-{len(set(index.values())) + 1:05}.safetensors"
        save_file(shard, folder / name, metadata={"format": "pt"})
        index.update({tensor: name for tensor in shard})
        shard.clear()

    for part in tensors(model, form, like):
        if see is not None:
            see(part)
        shard.update({name: tensor.cpu().contiguous() for name, tensor in part.items()})
        total += sum(t.numel() * t.element_size() for t in part.values())
        if sum(t.numel() * t.element_size() for t in shard.values()) > SHARD_BYTES:
            flush()
    if shard:
        flush()
    text = json.dumps({"metadata": {"total_size": total}, "weight_map": dict(sorted(index.items()))}, indent=2)
    (folder / "model.safetensors.index.json").write_text(text)
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", choices=MODELS, default="glm-4.7-flash")
    parser.add_argument("--format", choices=FORMATS, default="ct-int4")
    parser.add_argument("--layers", type=int)
    parser.add_argument("--dense", type=int)
    parser.add_argument("--mtp", action="store_true")
    parser.add_argument("--like", choices=["", "cyankiwi"], default="")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    config = dict(MODELS[arguments.model])
    if arguments.layers is not None:
        config["num_hidden_layers"] = arguments.layers
    if arguments.dense is not None:
        config["first_k_dense_replace"] = arguments.dense
    total = write(arguments.folder, Model(config, arguments.mtp), arguments.format, arguments.like)
    print(f"{arguments.folder}: {total / 1e9:.2f} GB in {arguments.format}")


if __name__ == "__main__":
    main()
