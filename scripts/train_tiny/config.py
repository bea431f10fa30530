"""The shape of glm-tiny: glm4_moe_lite with the real head and latent sizes, everything else small.

The dictionaries are config.json and generation_config.json as they are published; the training code reads the same.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tokenizer import VOCAB_SIZE, added_ids

_IDS = added_ids()
EOS_IDS = [_IDS["<|endoftext|>"], _IDS["<|user|>"], _IDS["<|observation|>"]]
PAD_ID = _IDS["<|endoftext|>"]

CONFIG: dict[str, Any] = {
    "architectures": ["Glm4MoeLiteForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "dtype": "bfloat16",
    "eos_token_id": EOS_IDS,
    "first_k_dense_replace": 1,
    "head_dim": 64,
    "hidden_act": "silu",
    "hidden_size": 128,
    "initializer_range": 0.02,
    "intermediate_size": 512,
    "kv_lora_rank": 512,
    "max_position_embeddings": 4096,
    "mlp_layer_types": ["dense", "sparse", "sparse", "sparse"],
    "model_type": "glm4_moe_lite",
    "moe_intermediate_size": 128,
    "n_group": 1,
    "n_routed_experts": 8,
    "n_shared_experts": 1,
    "norm_topk_prob": True,
    "num_attention_heads": 2,
    "num_experts_per_tok": 4,
    "num_hidden_layers": 4,
    "num_key_value_heads": 2,
    "num_nextn_predict_layers": 1,
    "pad_token_id": PAD_ID,
    "partial_rotary_factor": 1.0,
    "pretraining_tp": 1,
    "q_lora_rank": 128,
    "qk_head_dim": 256,
    "qk_nope_head_dim": 192,
    "qk_rope_head_dim": 64,
    "rms_norm_eps": 1e-06,
    "rope_interleave": True,
    "rope_parameters": {"partial_rotary_factor": 1.0, "rope_theta": 1000000.0, "rope_type": "default"},
    "routed_scaling_factor": 1.8,
    "tie_word_embeddings": False,
    "topk_group": 1,
    "topk_method": "noaux_tc",
    "transformers_version": "5.17.0",
    "use_cache": True,
    "v_head_dim": 256,
    "vocab_size": VOCAB_SIZE,
}

GENERATION_CONFIG: dict[str, Any] = {
    "_from_model_config": True,
    "do_sample": False,
    "eos_token_id": EOS_IDS,
    "pad_token_id": PAD_ID,
    "transformers_version": "5.17.0",
}


def write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def write_config(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "config.json", CONFIG)
    write_json(folder / "generation_config.json", GENERATION_CONFIG)
