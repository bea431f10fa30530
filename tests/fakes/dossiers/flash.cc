// GLM-4.7-Flash and what others have made of it: glm4_moe_lite, 31.2 B weights, latent attention.
#include <fmt/format.h>

#include <array>
#include <nlohmann/json.hpp>

#include "tests/fakes/dossiers/dossier.h"

namespace glm::fakes {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kGenerationConfig =
    R"({"_from_model_config": true, "do_sample": true, "eos_token_id": [154820, 154827, 154829],
        "pad_token_id": 154820, "temperature": 1.0})";

// In the dialect of the publisher.
Json publisher_config() {
  return Json::parse(R"({"architectures": ["Glm4MoeLiteForCausalLM"],
    "model_type": "glm4_moe_lite", "dtype": "bfloat16", "vocab_size": 154880, "hidden_size": 2048,
    "num_hidden_layers": 47, "num_nextn_predict_layers": 1, "first_k_dense_replace": 1,
    "intermediate_size": 10240, "moe_intermediate_size": 1536, "n_routed_experts": 64,
    "num_experts_per_tok": 4, "n_shared_experts": 1, "n_group": 1, "topk_group": 1,
    "topk_method": "noaux_tc", "norm_topk_prob": true, "routed_scaling_factor": 1.8,
    "num_attention_heads": 20, "num_key_value_heads": 20, "q_lora_rank": 768, "kv_lora_rank": 512,
    "qk_nope_head_dim": 192, "qk_rope_head_dim": 64, "v_head_dim": 256, "head_dim": 64,
    "attention_bias": false, "rms_norm_eps": 1e-05, "rope_theta": 1000000, "rope_scaling": null,
    "partial_rotary_factor": 1.0, "max_position_embeddings": 202752, "hidden_act": "silu",
    "tie_word_embeddings": false, "pad_token_id": 154820,
    "eos_token_id": [154820, 154827, 154829], "transformers_version": "5.0.0rc0"})");
}

// The same model, saved by transformers 5.3.0.dev0.
Json resaved_config() {
  Json config = publisher_config();
  for (const char* gone : {"rope_theta", "rope_scaling", "partial_rotary_factor",
                           "first_k_dense_replace", "num_nextn_predict_layers"}) {
    config.erase(gone);
  }
  config["rope_parameters"] = {
      {"rope_theta", 1000000}, {"rope_type", "default"}, {"partial_rotary_factor", 1.0}};
  config["mlp_layer_types"] = std::vector<std::string>(47, "sparse");
  config["mlp_layer_types"][0] = "dense";
  config["qk_head_dim"] = 256;
  config["bos_token_id"] = 0;
  config["transformers_version"] = "5.3.0.dev0";
  return config;
}

Dossier named(const std::string& repository, const Json& config) {
  Dossier dossier{.repository = repository, .small_files = {}, .tensors = {}, .shards = {}};
  dossier.small_files["config.json"] = config.dump(2);
  dossier.small_files["generation_config.json"] = kGenerationConfig;
  return dossier;
}

Scheme any_plain(const Module&) {
  return plain();
}

// zai-org/GLM-4.7-Flash: 48 files, the MTP layer complete with tables of its own.
Dossier bf16() {
  Dossier dossier = named("zai-org/GLM-4.7-Flash", publisher_config());
  dossier.tensors = tensors_of(glm_inventory(kFlash, Mtp::own_tables), any_plain);
  shard(dossier, {.files = 48});
  return dossier;
}

// cyankiwi/GLM-4.7-Flash-AWQ-4bit: compressed-tensors whatever its name says; kv_b_proj is packed,
// and so are the attention and the experts of the MTP layer. eh_proj and the head of that layer are
// not, although `ignore` does not name them [inferred, from the size of the published index].
Dossier cyankiwi() {
  Json config = resaved_config();
  Json ignore = Json::array();
  for (const char* part : {"q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "kv_b_proj", "o_proj"}) {
    ignore.push_back(fmt::format("model.layers.0.self_attn.{}", part));
  }
  for (const char* part : {"gate_proj", "up_proj", "down_proj"}) {
    ignore.push_back(fmt::format("model.layers.0.mlp.{}", part));
    for (int layer = 1; layer <= 47; ++layer) {
      ignore.push_back(fmt::format("model.layers.{}.mlp.shared_experts.{}", layer, part));
    }
  }
  ignore.push_back("lm_head");
  config["quantization_config"] = Json::parse(R"({"config_groups": {"group_0": {
    "format": "pack-quantized", "input_activations": null, "output_activations": null,
    "targets": ["Linear"], "weights": {"actorder": null, "block_structure": null, "dynamic": false,
    "group_size": 32, "num_bits": 4, "observer": "mse", "observer_kwargs": {}, "scale_dtype": null,
    "strategy": "group", "symmetric": true, "type": "int", "zp_dtype": null}}},
    "format": "pack-quantized", "kv_cache_scheme": null, "quant_method": "compressed-tensors",
    "quantization_status": "compressed", "sparsity_config": {}, "transform_config": {},
    "version": "0.13.1.a20260219"})");
  config["quantization_config"]["ignore"] = std::move(ignore);
  Dossier dossier = named("cyankiwi/GLM-4.7-Flash-AWQ-4bit", config);
  dossier.revision = "25624b53414e585bcf7dcb9584667c3106c6089b";
  dossier.tensors = tensors_of(glm_inventory(kFlash, Mtp::own_tables), [](const Module& m) {
    const bool packed = m.layer > 0 && (m.has(".self_attn.") || m.has(".mlp.experts."));
    return packed ? ct_int4(32) : plain();
  });
  shard(dossier, {.files = 4});
  return dossier;
}

Json nvfp4_config(std::initializer_list<const char*> ignore) {
  Json config = publisher_config();
  config["quantization_config"] = Json::parse(R"({"config_groups": {"group_0": {
    "format": "nvfp4-pack-quantized", "targets": ["Linear"], "output_activations": null,
    "input_activations": {"dynamic": "local", "group_size": 16, "num_bits": 4,
      "strategy": "tensor_group", "symmetric": true, "type": "float"},
    "weights": {"dynamic": false, "group_size": 16, "num_bits": 4, "strategy": "tensor_group",
      "symmetric": true, "type": "float"}}},
    "format": "nvfp4-pack-quantized", "kv_cache_scheme": null,
    "quant_method": "compressed-tensors", "quantization_status": "compressed"})");
  for (const char* entry : ignore) config["quantization_config"]["ignore"].push_back(entry);
  return config;
}

// GadflyII/GLM-4.7-Flash-NVFP4: attention stays as it was; the MTP layer's eh_proj and head are
// NVFP4 (the head [inferred] from the size).
Dossier gadflyii() {
  Dossier dossier = named("GadflyII/GLM-4.7-Flash-NVFP4",
                          nvfp4_config({"lm_head", "re:.*self_attn.*", "re:.*mlp\\.gate$"}));
  dossier.tensors = tensors_of(glm_inventory(kFlash, Mtp::own_tables), [](const Module& m) {
    const bool packed = m.linear && !m.has(".self_attn.") && m.name != "lm_head";
    return packed ? ct_nvfp4() : plain();
  });
  shard(dossier, {.files = 5});
  return dossier;
}

// GadflyII/GLM-4.7-Flash-MTP-NVFP4: the same with eh_proj and head of the MTP layer left as they
// were. That its `ignore` names them is [inferred].
Dossier gadflyii_mtp() {
  Dossier dossier = named("GadflyII/GLM-4.7-Flash-MTP-NVFP4",
                          nvfp4_config({"lm_head", "re:.*self_attn.*", "re:.*mlp\\.gate$",
                                        "re:.*eh_proj$", "re:.*shared_head.*"}));
  dossier.tensors = tensors_of(glm_inventory(kFlash, Mtp::own_tables), [](const Module& m) {
    const bool packed = m.linear && !m.has(".self_attn.") && m.name != "lm_head" &&
                        !m.has("eh_proj") && !m.has("shared_head");
    return packed ? ct_nvfp4() : plain();
  });
  shard(dossier, {.files = 5});
  return dossier;
}

// alphakek/GLM-4.7-Flash-heretic-NVFP4: ModelOpt, one file. That every linear layer is NVFP4,
// kv_b_proj too, and that there is no MTP layer is [inferred] from the size.
Dossier alphakek() {
  Json config = publisher_config();
  config["quantization_config"] = Json::parse(R"({"config_groups": {"group_0": {
    "input_activations": {"dynamic": false, "num_bits": 4, "type": "float", "group_size": 16},
    "weights": {"dynamic": false, "num_bits": 4, "type": "float", "group_size": 16},
    "targets": ["Linear"]}}, "ignore": ["lm_head"], "quant_algo": "NVFP4",
    "producer": {"name": "modelopt", "version": "0.41.0"}, "quant_method": "modelopt"})");
  Dossier dossier = named("alphakek/GLM-4.7-Flash-heretic-NVFP4", config);
  dossier.small_files["hf_quant_config.json"] =
      R"({"producer": {"name": "modelopt", "version": "0.41.0"},
          "quantization": {"quant_algo": "NVFP4", "kv_cache_quant_algo": null, "group_size": 16,
                           "exclude_modules": ["lm_head"]}})";
  dossier.tensors = tensors_of(glm_inventory(kFlash, Mtp::none), [](const Module& m) {
    return m.linear && m.name != "lm_head" ? modelopt_nvfp4() : plain();
  });
  shard(dossier, {.files = 1});
  return dossier;
}

// mratsim/GLM-4.7-Flash-FP8: compressed-tensors, blocks of 128x128. What is ignored, BF16 scales
// and an MTP layer that was dropped are [inferred].
Dossier fp8_block() {
  Json config = resaved_config();
  config["quantization_config"] = Json::parse(R"({"config_groups": {"group_0": {
    "format": "float-quantized", "targets": ["Linear"], "output_activations": null,
    "input_activations": {"dynamic": true, "group_size": 128, "num_bits": 8, "strategy": "group",
      "symmetric": true, "type": "float"},
    "weights": {"block_structure": [128, 128], "dynamic": false, "num_bits": 8,
      "strategy": "block", "symmetric": true, "type": "float"}}},
    "format": "float-quantized", "ignore": ["lm_head", "re:.*mlp\\.gate$"],
    "quant_method": "compressed-tensors", "quantization_status": "compressed"})");
  Dossier dossier = named("mratsim/GLM-4.7-Flash-FP8", config);
  dossier.tensors = tensors_of(glm_inventory(kFlash, Mtp::none), [](const Module& m) {
    return m.linear && m.name != "lm_head" ? ct_fp8_block() : plain();
  });
  shard(dossier, {.files = 7});
  return dossier;
}

// QuantTrio/GLM-4.7-Flash-AWQ: AutoAWQ, attention F16, MLPs and experts int4. Groups of 128, F16
// for everything else and an MTP layer without tables of its own are [inferred].
Dossier quanttrio() {
  Json config = publisher_config();
  config["dtype"] = "float16";
  config["quantization_config"] = Json::parse(R"({"quant_method": "awq", "bits": 4,
    "group_size": 128, "version": "gemm", "zero_point": true,
    "modules_to_not_convert": ["self_attn", "mlp.gate.", "eh_proj", "shared_head", "lm_head"]})");
  Dossier dossier = named("QuantTrio/GLM-4.7-Flash-AWQ", config);
  dossier.tensors = tensors_of(glm_inventory(kFlash, Mtp::own_tables, "F16"), [](const Module& m) {
    const bool packed = m.linear && m.has(".mlp.");
    return packed ? awq_gemm(128) : plain("F16");
  });
  shard(dossier, {.files = 4});
  return dossier;
}

constexpr std::array<DossierRow, 7> kRows = {{
    {"glm-4.7-flash", &bf16},
    {"glm-4.7-flash-cyankiwi-awq-4bit", &cyankiwi},
    {"glm-4.7-flash-gadflyii-nvfp4", &gadflyii},
    {"glm-4.7-flash-gadflyii-mtp-nvfp4", &gadflyii_mtp},
    {"glm-4.7-flash-alphakek-nvfp4", &alphakek},
    {"glm-4.7-flash-mratsim-fp8", &fp8_block},
    {"glm-4.7-flash-quanttrio-awq", &quanttrio},
}};

}  // namespace

std::span<const DossierRow> flash_dossiers() {
  return kRows;
}

}  // namespace glm::fakes
