"""The model of glm-tiny in plain PyTorch: glm4_moe_lite (MLA, sigmoid router with a selection bias, MTP layer).

Weights are one dictionary of tensors, so the caller decides what they are: float32 for judging, bfloat16 or fake-quantized
for a training step. The experts are computed densely (all experts for all tokens, weighted by the router), which for
eight small experts is the fastest form and gives the same numbers as computing the chosen ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from config import CONFIG

LAYERS: int = CONFIG["num_hidden_layers"]
MTP: int = LAYERS  # the MTP layer is stored after the last one
HIDDEN: int = CONFIG["hidden_size"]
HEADS: int = CONFIG["num_attention_heads"]
NOPE: int = CONFIG["qk_nope_head_dim"]
ROPE: int = CONFIG["qk_rope_head_dim"]
VALUE: int = CONFIG["v_head_dim"]
LATENT: int = CONFIG["kv_lora_rank"]
QUERY_LATENT: int = CONFIG["q_lora_rank"]
EXPERTS: int = CONFIG["n_routed_experts"]
TOP_K: int = CONFIG["num_experts_per_tok"]
WIDTH: int = CONFIG["moe_intermediate_size"]
DENSE_WIDTH: int = CONFIG["intermediate_size"]
VOCAB: int = CONFIG["vocab_size"]
EPS: float = CONFIG["rms_norm_eps"]
SCALING: float = CONFIG["routed_scaling_factor"]
THETA: float = CONFIG["rope_parameters"]["rope_theta"]

Weights = dict[str, Tensor]

BEFORE_ATTENTION = ("input_layernorm", "self_attn.q_a_proj", "self_attn.q_a_layernorm", "self_attn.q_b_proj",
                    "self_attn.kv_a_proj_with_mqa", "self_attn.kv_a_layernorm", "self_attn.kv_b_proj")
AFTER_ATTENTION = ("self_attn.o_proj", "post_attention_layernorm")


def is_sparse(layer: int) -> bool:
    return layer >= CONFIG["first_k_dense_replace"]


def shapes() -> dict[str, tuple[int, ...]]:
    """Every parameter; the experts of a layer are stacked in one tensor."""
    out: dict[str, tuple[int, ...]] = {"embed_tokens": (VOCAB, HIDDEN), "norm": (HIDDEN,), "lm_head": (VOCAB, HIDDEN)}
    for layer in range(LAYERS + 1):
        p = f"layers.{layer}."
        out |= {
            p + "input_layernorm": (HIDDEN,), p + "post_attention_layernorm": (HIDDEN,),
            p + "self_attn.q_a_proj": (QUERY_LATENT, HIDDEN), p + "self_attn.q_a_layernorm": (QUERY_LATENT,),
            p + "self_attn.q_b_proj": (HEADS * (NOPE + ROPE), QUERY_LATENT),
            p + "self_attn.kv_a_proj_with_mqa": (LATENT + ROPE, HIDDEN), p + "self_attn.kv_a_layernorm": (LATENT,),
            p + "self_attn.kv_b_proj": (HEADS * (NOPE + VALUE), LATENT),
            p + "self_attn.o_proj": (HIDDEN, HEADS * VALUE),
        }
        if is_sparse(layer):
            out |= {
                p + "mlp.gate": (EXPERTS, HIDDEN), p + "mlp.gate.e_score_correction_bias": (EXPERTS,),
                p + "mlp.experts.gate_proj": (EXPERTS, WIDTH, HIDDEN), p + "mlp.experts.up_proj": (EXPERTS, WIDTH, HIDDEN),
                p + "mlp.experts.down_proj": (EXPERTS, HIDDEN, WIDTH),
                p + "mlp.shared_experts.gate_proj": (WIDTH, HIDDEN), p + "mlp.shared_experts.up_proj": (WIDTH, HIDDEN),
                p + "mlp.shared_experts.down_proj": (HIDDEN, WIDTH),
            }
        else:
            out |= {p + "mlp.gate_proj": (DENSE_WIDTH, HIDDEN), p + "mlp.up_proj": (DENSE_WIDTH, HIDDEN),
                    p + "mlp.down_proj": (HIDDEN, DENSE_WIDTH)}
    p = f"layers.{MTP}."
    return out | {p + "enorm": (HIDDEN,), p + "hnorm": (HIDDEN,), p + "eh_proj": (HIDDEN, 2 * HIDDEN),
                  p + "shared_head.norm": (HIDDEN,)}


def initial_weights(generator: torch.Generator) -> Weights:
    out: Weights = {}
    for name, shape in shapes().items():
        if name.endswith("bias"):
            out[name] = torch.zeros(shape)
        elif len(shape) == 1:
            out[name] = torch.ones(shape)
        else:
            scale = 0.3 if name == "embed_tokens" else 0.5 * shape[-1] ** -0.5
            if name.endswith(("o_proj", "down_proj")):
                scale *= 0.3
            out[name] = torch.randn(shape, generator=generator) * scale
    return out


def layer_weights(weights: Weights, layer: int) -> Weights:
    prefix = f"layers.{layer}."
    return {name.removeprefix(prefix): tensor for name, tensor in weights.items() if name.startswith(prefix)}


def rope_tables(length: int, device: torch.device | str) -> tuple[Tensor, Tensor]:
    """cos and sin [length, 32] of the 64-wide rotary part, in float32."""
    frequencies = 1.0 / (THETA ** (torch.arange(0, ROPE, 2, dtype=torch.float32, device=device) / ROPE))
    angles = torch.arange(length, dtype=torch.float32, device=device)[:, None] * frequencies[None]
    return angles.cos(), angles.sin()


def rms_norm(x: Tensor, gain: Tensor) -> Tensor:
    x32 = x.float()
    return (x32 * torch.rsqrt(x32.square().mean(-1, keepdim=True) + EPS)).to(gain.dtype) * gain


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotates adjacent pairs of the last dimension and leaves the result de-interleaved (evens, then odds)."""
    even, odd = x[..., 0::2].float(), x[..., 1::2].float()
    return torch.cat((even * cos - odd * sin, odd * cos + even * sin), -1).to(x.dtype)


def attention_inputs(x: Tensor, w: Weights, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Token-wise part before attention: x [n, hidden] to q, k [n, heads, 256] and v [n, heads, 256]."""
    n = x.shape[0]
    a = rms_norm(x, w["input_layernorm"])
    q_latent = rms_norm(F.linear(a, w["self_attn.q_a_proj"]), w["self_attn.q_a_layernorm"])
    q = F.linear(q_latent, w["self_attn.q_b_proj"]).view(n, HEADS, NOPE + ROPE)
    kv = F.linear(a, w["self_attn.kv_a_proj_with_mqa"])
    latent = rms_norm(kv[:, :LATENT], w["self_attn.kv_a_layernorm"])
    expanded = F.linear(latent, w["self_attn.kv_b_proj"]).view(n, HEADS, NOPE + VALUE)
    cos, sin = cos[:, None], sin[:, None]
    q = torch.cat((q[..., :NOPE], rotate(q[..., NOPE:], cos, sin)), -1)
    k_rope = rotate(kv[:, None, LATENT:], cos, sin).expand(n, HEADS, ROPE)
    return q, torch.cat((expanded[..., :NOPE], k_rope), -1), expanded[..., NOPE:].contiguous()


def mlp(m: Tensor, gate: Tensor, up: Tensor, down: Tensor) -> Tensor:
    return F.linear(F.silu(F.linear(m, gate)) * F.linear(m, up), down)


def after_attention_dense(x: Tensor, attended: Tensor, w: Weights) -> Tensor:
    x = x + F.linear(attended, w["self_attn.o_proj"])
    m = rms_norm(x, w["post_attention_layernorm"])
    return x + mlp(m, w["mlp.gate_proj"], w["mlp.up_proj"], w["mlp.down_proj"])


def after_attention_sparse(x: Tensor, attended: Tensor, w: Weights) -> tuple[Tensor, Tensor]:
    """Returns the new residual stream and how many tokens chose each expert."""
    x = x + F.linear(attended, w["self_attn.o_proj"])
    m = rms_norm(x, w["post_attention_layernorm"])
    scores = F.linear(m.float(), w["mlp.gate"].float()).sigmoid()
    chosen = (scores.detach() + w["mlp.gate.e_score_correction_bias"]).topk(TOP_K, dim=-1).indices
    mask = torch.zeros_like(scores).scatter(1, chosen, 1.0)
    weight = scores * mask
    weight = weight / (weight.sum(-1, keepdim=True) + 1e-20) * SCALING
    gate, up, down = (w[f"mlp.experts.{name}_proj"] for name in ("gate", "up", "down"))
    hidden = F.silu(F.linear(m, gate.flatten(0, 1))) * F.linear(m, up.flatten(0, 1))
    hidden = (hidden.view(-1, EXPERTS, WIDTH) * weight[..., None].to(hidden.dtype)).flatten(1)
    routed = hidden @ down.transpose(1, 2).flatten(0, 1)
    shared = mlp(m, *(w[f"mlp.shared_experts.{name}_proj"] for name in ("gate", "up", "down")))
    return x + routed + shared, mask.sum(0)


@dataclass
class Cache:
    """Expanded keys and values of one layer, [batch, heads, capacity, 256], for decoding."""

    keys: Tensor
    values: Tensor


@dataclass
class Batch:
    """Where the tokens of a flat [batch * length] stream stand."""

    size: int
    length: int
    cos: Tensor  # [batch * length, 32]
    sin: Tensor
    positions: Tensor | None = None  # [batch, length]; only with a cache


def attend(q: Tensor, k: Tensor, v: Tensor, batch: Batch, cache: Cache | None) -> Tensor:
    """Causal attention; scale 1/sqrt(256). With a cache, keys go to their positions and later slots are masked."""
    q, k, v = (t.view(batch.size, batch.length, HEADS, -1).transpose(1, 2) for t in (q, k, v))
    if cache is None:
        out = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    else:
        assert batch.positions is not None
        rows = torch.arange(batch.size, device=q.device)[:, None]
        cache.keys[rows, :, batch.positions] = k.transpose(1, 2)
        cache.values[rows, :, batch.positions] = v.transpose(1, 2)
        slots = torch.arange(cache.keys.shape[2], device=q.device)
        mask = (slots[None, None] <= batch.positions[:, :, None])[:, None]
        out = F.scaled_dot_product_attention(q, cache.keys, cache.values, attn_mask=mask)
    return out.transpose(1, 2).reshape(batch.size * batch.length, HEADS * VALUE)


class Steps:
    """The token-wise pieces, compiled or not; attention between them is a library call either way."""

    def __init__(self, compiled: bool = False) -> None:
        wrap = (lambda f: torch.compile(f, dynamic=False)) if compiled else (lambda f: f)
        self.attention_inputs = wrap(attention_inputs)
        self.dense = wrap(after_attention_dense)
        self.sparse = wrap(after_attention_sparse)


PLAIN = Steps()


def block(x: Tensor, w: Weights, layer: int, batch: Batch, cache: Cache | None, steps: Steps) -> tuple[Tensor, Tensor | None]:
    # Each piece gets its own weights only, so a compiled piece is compiled once for all layers.
    before = {name: w[name] for name in BEFORE_ATTENTION}
    after = {name: tensor for name, tensor in w.items() if name.startswith("mlp.") or name in AFTER_ATTENTION}
    q, k, v = steps.attention_inputs(x, before, batch.cos, batch.sin)
    attended = attend(q, k, v, batch, cache)
    if is_sparse(layer):
        return steps.sparse(x, attended, after)
    return steps.dense(x, attended, after), None


def main_model(ids: Tensor, weights: Weights, batch: Batch, caches: list[Cache] | None = None,
               steps: Steps = PLAIN) -> tuple[Tensor, list[Tensor]]:
    """ids [batch * length] to the final normed hidden states, and the expert loads of the sparse layers."""
    x = F.embedding(ids, weights["embed_tokens"]).float()
    loads: list[Tensor] = []
    for layer in range(LAYERS):
        x, load = block(x, layer_weights(weights, layer), layer, batch, caches[layer] if caches else None, steps)
        if load is not None:
            loads.append(load)
    return rms_norm(x, weights["norm"]), loads


def mtp_model(hidden: Tensor, next_ids: Tensor, weights: Weights, batch: Batch, cache: Cache | None = None,
              steps: Steps = PLAIN) -> tuple[Tensor, Tensor | None]:
    """Slot i pairs the final hidden state i with token i+1 and drafts token i+2; returns the state for the head."""
    w = layer_weights(weights, MTP)
    embedded = F.embedding(next_ids, weights["embed_tokens"])
    joined = torch.cat((rms_norm(embedded, w["enorm"]), rms_norm(hidden, w["hnorm"])), -1)
    u = F.linear(joined, w["eh_proj"]).float()
    out, load = block(u, w, MTP, batch, cache, steps)
    return rms_norm(out, w["shared_head.norm"]), load


def full_batch(size: int, length: int, device: torch.device | str) -> Batch:
    cos, sin = rope_tables(length, device)
    return Batch(size, length, cos.repeat(size, 1), sin.repeat(size, 1))


def logits_of(hidden: Tensor, weights: Weights) -> Tensor:
    return F.linear(hidden, weights["lm_head"]).float()
