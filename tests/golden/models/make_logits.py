"""Writes the golden files of this folder; see README.md for what they hold and how weights follow from names."""

from __future__ import annotations

import json
import math
import tempfile
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForCausalLM, Glm4MoeConfig, Glm4MoeLiteConfig, PreTrainedConfig

FOLDER = Path(__file__).parent
PROMPT_LENGTHS = [17, 33]  # of the first the logits of every position are kept, of the others the last ones

SHARED = dict(vocab_size=61, hidden_size=45, num_hidden_layers=3, intermediate_size=77, moe_intermediate_size=19,
              n_routed_experts=5, num_experts_per_tok=2, n_shared_experts=1, max_position_embeddings=256,
              pad_token_id=3, eos_token_id=[3, 5], bos_token_id=None)
LATENT = dict(num_attention_heads=3, num_key_value_heads=3, q_lora_rank=21, kv_lora_rank=27, qk_nope_head_dim=11,
              qk_rope_head_dim=6, v_head_dim=13)


def theta(value: float, **more: float) -> dict:
    return {"rope_parameters": {"rope_type": "default", "rope_theta": value} | more}


MODELS: dict[str, PreTrainedConfig] = {
    "glm4_moe_lite": Glm4MoeLiteConfig(**SHARED, **LATENT, **theta(1e6), rms_norm_eps=1e-6),
    "glm4_moe_lite_groups_tied": Glm4MoeLiteConfig(
        **SHARED | dict(n_routed_experts=6, num_experts_per_tok=3, n_shared_experts=2), **LATENT, **theta(500.0),
        n_group=3, topk_group=2, norm_topk_prob=False, routed_scaling_factor=0.7, rms_norm_eps=1e-5,
        rope_interleave=False, tie_word_embeddings=True),
    "glm4_moe_6_heads_2_kv": Glm4MoeConfig(
        **SHARED, **theta(1e6), num_attention_heads=6, num_key_value_heads=2, head_dim=20, attention_bias=True,
        use_qk_norm=True, routed_scaling_factor=2.5),
    "glm4_moe_5_heads_1_kv": Glm4MoeConfig(
        **SHARED, **theta(1e4, partial_rotary_factor=0.25), num_attention_heads=5, num_key_value_heads=1, head_dim=18,
        attention_bias=True, use_qk_norm=False),
    "glm4_moe_3_heads_3_kv_tied": Glm4MoeConfig(
        **SHARED, **theta(1e6), num_attention_heads=3, num_key_value_heads=3, head_dim=12, attention_bias=False,
        use_qk_norm=False, tie_word_embeddings=True),
}


def numbers(name: str, count: int) -> np.ndarray:
    """`count` 64-bit numbers that follow from a name: FNV-1a, then the finalizer of splitmix64."""
    start = 0xCBF29CE484222325
    for byte in name.encode():
        start = (start ^ byte) * 0x100000001B3 % 2**64
    z = np.uint64(start) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def values(tensor: dict) -> np.ndarray:
    """The float32 values of one entry of "tensors"; every step is exact."""
    name, shape, step = tensor["name"], tensor["shape"], 2.0 ** -tensor["exponent"]
    drawn = numbers(name, math.prod(shape)).reshape(shape)
    if tensor["form"] == "int4":
        scales = (8 + (numbers(name + ".scale", shape[0]) >> np.uint64(61)).astype(np.int64)) * step
        exact = ((drawn >> np.uint64(60)).astype(np.int64) - 8) * scales[:, None]
    else:
        exact = tensor["centre"] + ((drawn >> np.uint64(52)).astype(np.int64) - 2048) * step
    assert (exact.astype(np.float32) == exact).all()
    return exact.astype(np.float32)


def described(name: str, shape: list[int]) -> dict:
    """How the values of a tensor are drawn: of size one over the square root of what is summed up."""
    if "norm" in name:
        return {"name": name, "shape": shape, "form": "plain", "exponent": 13, "centre": 1}
    if name.endswith("e_score_correction_bias"):
        return {"name": name, "shape": shape, "form": "plain", "exponent": 14, "centre": 7}
    if name.endswith(".bias"):
        return {"name": name, "shape": shape, "form": "plain", "exponent": 12, "centre": 0}
    quantized = "embed_tokens" not in name and "lm_head" not in name and not name.endswith(".gate.weight")
    spread = (53 if quantized else 1182) * math.sqrt(shape[-1])
    exponent = round(math.log2(spread))
    if quantized:
        return {"name": name, "shape": shape, "form": "int4", "exponent": exponent}
    return {"name": name, "shape": shape, "form": "plain", "exponent": exponent, "centre": 0}


def tensors_and_state(model: torch.nn.Module) -> tuple[list[dict], dict[str, torch.Tensor]]:
    """The tensors in the published spelling (one per expert), and the same as the library holds them (fused)."""
    tensors: list[dict] = []
    state: dict[str, torch.Tensor] = {}

    def draw(name: str, shape: list[int]) -> np.ndarray:
        tensors.append(described(name, shape))
        return values(tensors[-1])

    for name, old in model.state_dict().items():
        shape = list(old.shape)
        if name == "lm_head.weight" and model.config.tie_word_embeddings:
            continue
        if not name.endswith(("experts.gate_up_proj", "experts.down_proj")):
            state[name] = torch.from_numpy(draw(name, shape))
            continue
        prefix, kind = name.rsplit(".", 1)
        experts = []
        for e in range(shape[0]):
            if kind == "down_proj":
                parts = [draw(f"{prefix}.{e}.down_proj.weight", shape[1:])]
            else:
                half = [shape[1] // 2, shape[2]]
                parts = [draw(f"{prefix}.{e}.{part}.weight", half) for part in ("gate_proj", "up_proj")]
            experts.append(np.concatenate(parts))
        state[name] = torch.from_numpy(np.stack(experts))
    return tensors, state


def written(config: PreTrainedConfig, architecture: str) -> dict:
    """config.json as the library saves it."""
    config.architectures = [architecture]
    with tempfile.TemporaryDirectory() as folder:
        config.save_pretrained(folder)
        return json.loads((Path(folder) / "config.json").read_text())


def rounded(row: torch.Tensor) -> list[float]:
    return [float(f"{value:.7g}") for value in row.tolist()]


def golden(name: str, config: PreTrainedConfig) -> dict:
    config.dtype = torch.float32
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager", experts_implementation="eager")
    model = model.float().eval()
    tensors, state = tensors_and_state(model)
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected and set(missing) <= {"lm_head.weight"}, (missing, unexpected)
    prompts = []
    for number, length in enumerate(PROMPT_LENGTHS):
        ids = (numbers(f"{name}.prompt.{number}", length) % np.uint64(config.vocab_size)).astype(np.int64).tolist()
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0]
        kept = logits if number == 0 else logits[-1:]
        prompts.append({"ids": ids, "logits": [rounded(row) for row in kept]})
    return {"config": written(config, type(model).__name__), "tensors": tensors, "prompts": prompts}


def main() -> None:
    torch.manual_seed(0)
    for name, config in MODELS.items():
        document = golden(name, config)
        lines = [f'"config": {json.dumps(document["config"])}']
        lines.append('"tensors": [\n' + ",\n".join(json.dumps(row) for row in document["tensors"]) + "]")
        lines.append('"prompts": [\n' + ",\n".join(json.dumps(row) for row in document["prompts"]) + "]")
        (FOLDER / f"{name}.json").write_text("{" + ",\n".join(lines) + "}\n")
        largest = max(abs(value) for row in document["prompts"][0]["logits"] for value in row)
        print(f"{name}: {len(document['tensors'])} tensors, largest logit {largest:.3f}")


if __name__ == "__main__":
    main()
