// GLM-4.5-Air, 4.6, 4.7 and what others have made of them: glm4_moe, grouped-query attention.
#include <fmt/format.h>

#include <array>
#include <nlohmann/json.hpp>

#include "tests/fakes/dossiers/dossier.h"

namespace glm::fakes {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kGenerationConfig =
    R"({"eos_token_id": [151329, 151336, 151338], "pad_token_id": 151329, "do_sample": true})";

Json config_of(const GlmShape& shape) {
  const bool air = shape.layers == kAir.layers;
  Json config = Json::parse(R"({"architectures": ["Glm4MoeForCausalLM"], "model_type": "glm4_moe",
    "attention_bias": true, "attention_dropout": 0.0, "dtype": "bfloat16", "hidden_act": "silu",
    "head_dim": 128, "num_attention_heads": 96, "num_key_value_heads": 8,
    "partial_rotary_factor": 0.5, "rope_theta": 1000000, "rope_scaling": null,
    "rms_norm_eps": 1e-05, "n_shared_experts": 1, "num_experts_per_tok": 8, "n_group": 1,
    "topk_group": 1, "norm_topk_prob": true, "num_nextn_predict_layers": 1,
    "tie_word_embeddings": false, "max_position_embeddings": 202752, "pad_token_id": 151329,
    "eos_token_id": [151329, 151336, 151338], "vocab_size": 151552})");
  config["hidden_size"] = shape.hidden;
  config["num_hidden_layers"] = shape.layers;
  config["first_k_dense_replace"] = shape.dense_layers;
  config["intermediate_size"] = shape.intermediate;
  config["moe_intermediate_size"] = shape.moe_intermediate;
  config["n_routed_experts"] = shape.experts;
  config["use_qk_norm"] = shape.qk_norm;
  config["routed_scaling_factor"] = air ? 1.0 : 2.5;
  if (air) config["max_position_embeddings"] = 131072;
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

// zai-org/GLM-4.7: the MTP layer with tables of its own, in a file of its own that the index names.
Dossier glm47() {
  Dossier dossier = named("zai-org/GLM-4.7", config_of(kGlm4));
  dossier.tensors = tensors_of(glm_inventory(kGlm4, Mtp::own_tables), any_plain);
  shard(dossier, {.files = 92, .mtp_file = true, .mtp_layer = 92});
  return dossier;
}

// zai-org/GLM-4.6: an MTP layer that shares the main tables; the older spelling of dtype.
Dossier glm46() {
  Json config = config_of(kGlm4);
  config["torch_dtype"] = config["dtype"];
  config.erase("dtype");
  Dossier dossier = named("zai-org/GLM-4.6", config);
  dossier.tensors = tensors_of(glm_inventory(kGlm4, Mtp::shares_tables), any_plain);
  shard(dossier, {.files = 92, .mtp_file = true, .mtp_layer = 92});
  return dossier;
}

Dossier air() {
  Dossier dossier = named("zai-org/GLM-4.5-Air", config_of(kAir));
  dossier.tensors = tensors_of(glm_inventory(kAir, Mtp::own_tables), any_plain);
  shard(dossier, {.files = 47});
  return dossier;
}

Json fp8_config(const GlmShape& shape) {
  Json config = config_of(shape);
  config["quantization_config"] = Json::parse(R"({"config_groups": {"group_0": {
    "targets": ["Linear"], "output_activations": null,
    "input_activations": {"dynamic": true, "num_bits": 8, "strategy": "token", "symmetric": true,
      "type": "float"},
    "weights": {"dynamic": false, "num_bits": 8, "strategy": "channel", "symmetric": true,
      "type": "float"}}}, "format": "float-quantized", "ignore": ["lm_head"],
    "quant_method": "compressed-tensors", "quantization_status": "compressed"})");
  for (std::int64_t layer = shape.dense_layers; layer <= shape.layers; ++layer) {
    config["quantization_config"]["ignore"].push_back(
        fmt::format("model.layers.{}.mlp.gate", layer));
  }
  return config;
}

// The MTP layer is FP8 as well; that its eh_proj and its head are is [inferred].
NamedTensors fp8_tensors(const GlmShape& shape, Mtp mtp) {
  return tensors_of(glm_inventory(shape, mtp), [](const Module& m) {
    return m.linear && m.name != "lm_head" ? ct_fp8_channel() : plain();
  });
}

// zai-org/GLM-4.7-FP8: [inferred] from GLM-4.6-FP8 and GLM-4.5-Air-FP8, the same pipeline.
Dossier glm47_fp8() {
  Dossier dossier = named("zai-org/GLM-4.7-FP8", fp8_config(kGlm4));
  dossier.tensors = fp8_tensors(kGlm4, Mtp::own_tables);
  shard(dossier, {.files = 93});
  return dossier;
}

Dossier air_fp8() {
  Dossier dossier = named("zai-org/GLM-4.5-Air-FP8", fp8_config(kAir));
  dossier.tensors = fp8_tensors(kAir, Mtp::own_tables);
  shard(dossier, {.files = 47});
  return dossier;
}

// QuantTrio/GLM-4.7-AWQ: AutoAWQ, groups of 128 with zero points. Which modules are 16-bit is
// [inferred] from the size: the MTP layer, without tables of its own, the tables and the routers.
Dossier quanttrio() {
  Json config = config_of(kGlm4);
  config["dtype"] = "float16";
  config["quantization_config"] = Json::parse(R"({"quant_method": "awq", "bits": 4,
    "group_size": 128, "version": "gemm", "zero_point": true,
    "modules_to_not_convert": ["mlp.gate.", "model.layers.92."]})");
  Dossier dossier = named("QuantTrio/GLM-4.7-AWQ", config);
  dossier.tensors =
      tensors_of(glm_inventory(kGlm4, Mtp::shares_tables, "F16"), [](const Module& m) {
        const bool packed = m.linear && m.layer >= 0 && m.layer < 92;
        return packed ? awq_gemm(128) : plain("F16");
      });
  shard(dossier, {.files = 41});
  return dossier;
}

// bullpoint/GLM-4.6-AWQ: compressed-tensors, symmetric, groups of 128; layers 0 to 2 and the shared
// experts are left, the MTP layer is gone. 39 files.
Dossier bullpoint() {
  Json config = config_of(kGlm4);
  config["quantization_config"] = Json::parse(R"json({"config_groups": {"group_0": {
    "format": "pack-quantized", "input_activations": null, "output_activations": null,
    "targets": ["re:.*gate_proj.*", "re:.*up_proj.*", "re:.*down_proj.*", "re:.*k_proj.*",
      "re:.*q_proj.*", "re:.*v_proj.*", "re:.*o_proj.*"],
    "weights": {"actorder": null, "dynamic": false, "group_size": 128, "num_bits": 4,
      "strategy": "group", "symmetric": true, "type": "int"}}},
    "format": "pack-quantized", "ignore": ["lm_head", "re:.*embed_tokens", "re:.*layernorm.*",
      "re:.*norm.*", "re:.*shared_experts.*", "re:.*mlp\\.gate\\.weight$",
      "re:model.layers.[0-2]\\."],
    "quant_method": "compressed-tensors", "quantization_status": "compressed"})json");
  Dossier dossier = named("bullpoint/GLM-4.6-AWQ", config);
  dossier.tensors = tensors_of(glm_inventory(kGlm4, Mtp::none), [](const Module& m) {
    return m.linear && m.layer >= 3 && !m.has("shared_experts") ? ct_int4(128) : plain();
  });
  shard(dossier, {.files = 39});
  return dossier;
}

// Salyut1/GLM-4.7-NVFP4: ModelOpt without MTP layer, with scales for a cache of 8 bits. That all
// linear layers but the head are NVFP4 is [inferred].
Dossier salyut1() {
  Json config = config_of(kGlm4);
  config["quantization_config"] = Json::parse(R"({"config_groups": {"group_0": {
    "input_activations": {"dynamic": false, "num_bits": 4, "type": "float", "group_size": 16},
    "weights": {"dynamic": false, "num_bits": 4, "type": "float", "group_size": 16},
    "targets": ["Linear"]}}, "ignore": ["lm_head", "*.mlp.gate"], "quant_algo": "NVFP4",
    "kv_cache_scheme": {"dynamic": false, "num_bits": 8, "type": "float"},
    "producer": {"name": "modelopt"}, "quant_method": "modelopt"})");
  Dossier dossier = named("Salyut1/GLM-4.7-NVFP4", config);
  Inventory inventory = glm_inventory(kGlm4, Mtp::none);
  for (int layer = 0; layer < 92; ++layer) {
    const std::string prefix = fmt::format("model.layers.{}.self_attn.", layer);
    inventory.others.push_back({prefix + "k_proj.k_scale", "F32", {}});
    inventory.others.push_back({prefix + "v_proj.v_scale", "F32", {}});
  }
  dossier.tensors = tensors_of(inventory, [](const Module& m) {
    return m.linear && m.name != "lm_head" ? modelopt_nvfp4() : plain();
  });
  shard(dossier, {.files = 41});
  return dossier;
}

// RedHatAI's GLM-4.6 with 8-bit integers: eh_proj and the head of the MTP layer come without scales
// although only lm_head is ignored. The repository's exact name is [inferred].
Dossier w8a8() {
  Json config = config_of(kGlm4);
  config["quantization_config"] = Json::parse(R"({"config_groups": {"group_0": {
    "targets": ["Linear"], "output_activations": null,
    "input_activations": {"dynamic": true, "num_bits": 8, "strategy": "token", "symmetric": true,
      "type": "int"},
    "weights": {"dynamic": false, "num_bits": 8, "strategy": "channel", "symmetric": true,
      "type": "int"}}}, "format": "int-quantized", "ignore": ["lm_head"],
    "quant_method": "compressed-tensors", "quantization_status": "compressed"})");
  Dossier dossier = named("RedHatAI/GLM-4.6-quantized.w8a8", config);
  dossier.tensors = tensors_of(glm_inventory(kGlm4, Mtp::own_tables), [](const Module& m) {
    const bool plain_one = m.name == "lm_head" || m.has("eh_proj") || m.has("shared_head");
    return m.linear && !plain_one ? ct_int8_channel() : plain();
  });
  shard(dossier, {.files = 73});
  return dossier;
}

// TheHouseOfTheDude/GLM-4.7_Compressed-Tensors: weights in branches only. Which layers are left is
// [inferred] from its siblings.
Dossier house_gs32() {
  Json config = config_of(kGlm4);
  config["quantization_config"] = Json::parse(R"json({"config_groups": {"group_0": {
    "format": "pack-quantized", "targets": ["Linear"], "input_activations": null,
    "weights": {"dynamic": false, "group_size": 32, "num_bits": 4, "strategy": "group",
      "symmetric": true, "type": "int"}}}, "format": "pack-quantized",
    "ignore": ["lm_head", "re:.*mlp\\.gate$"], "quant_method": "compressed-tensors",
    "quantization_status": "compressed"})json");
  Dossier dossier = named("TheHouseOfTheDude/GLM-4.7_Compressed-Tensors", config);
  dossier.revision = "W4A16_GS32";
  dossier.tensors = tensors_of(glm_inventory(kGlm4, Mtp::none), [](const Module& m) {
    return m.linear && m.name != "lm_head" ? ct_int4(32) : plain();
  });
  shard(dossier, {.files = 43});
  return dossier;
}

// QuantTrio/GLM-4.7-GPTQ-Int4-Int8Mix: GPTQ, down projections of the experts with 8 bits
// [inferred, as is everything but the mix itself].
Dossier gptq_mix() {
  Json config = config_of(kGlm4);
  config["dtype"] = "float16";
  config["quantization_config"] = Json::parse(R"json({"quant_method": "gptq", "bits": 4,
    "group_size": 128, "desc_act": false, "sym": true, "checkpoint_format": "gptq",
    "dynamic": {"-:.*model\\.layers\\.92\\..*": {}, "-:.*mlp\\.gate$": {},
                "-:.*self_attn.*": {}, "-:.*shared_experts.*": {},
                "-:.*model\\.layers\\.[0-2]\\..*": {},
                "+:model\\.layers\\.([0-9]|[1-8][0-9]|9[01])\\.mlp\\.experts\\.[0-9]+\\.down_proj$": {"bits": 8}}})json");
  Dossier dossier = named("QuantTrio/GLM-4.7-GPTQ-Int4-Int8Mix", config);
  dossier.tensors =
      tensors_of(glm_inventory(kGlm4, Mtp::shares_tables, "F16"), [](const Module& m) {
        if (!m.has(".mlp.experts.") || m.layer >= 92) return plain("F16");
        return gptq(m.has("down_proj") ? 8 : 4, 128);
      });
  shard(dossier, {.files = 50});
  return dossier;
}

constexpr std::array<DossierRow, 11> kRows = {{
    {"glm-4.7", &glm47},
    {"glm-4.6", &glm46},
    {"glm-4.5-air", &air},
    {"glm-4.7-fp8", &glm47_fp8},
    {"glm-4.5-air-fp8", &air_fp8},
    {"glm-4.7-quanttrio-awq", &quanttrio},
    {"glm-4.6-bullpoint-awq", &bullpoint},
    {"glm-4.7-salyut1-nvfp4", &salyut1},
    {"glm-4.6-redhatai-w8a8", &w8a8},
    {"glm-4.7-thehouseofthedude-gs32", &house_gs32},
    {"glm-4.7-quanttrio-gptq-mix", &gptq_mix},
}};

}  // namespace

std::span<const DossierRow> glm4_dossiers() {
  return kRows;
}

}  // namespace glm::fakes
