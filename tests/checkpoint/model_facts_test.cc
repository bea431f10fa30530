#include "runner/checkpoint/model_facts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/fakes/shard_header.h"
#include "tests/fakes/tiny_random_model.h"

namespace glm::runner {
namespace {

using fakes::FakeWeights;
using fakes::TemporaryFolder;
using testing::HasSubstr;

// GLM-4.7-Flash, in the dialect of its publisher.
constexpr std::string_view kFlash = R"({"architectures": ["Glm4MoeLiteForCausalLM"],
  "model_type": "glm4_moe_lite", "dtype": "bfloat16", "vocab_size": 154880, "hidden_size": 2048,
  "num_hidden_layers": 47, "num_nextn_predict_layers": 1, "first_k_dense_replace": 1,
  "intermediate_size": 10240, "moe_intermediate_size": 1536, "n_routed_experts": 64,
  "num_experts_per_tok": 4, "n_shared_experts": 1, "n_group": 1, "topk_group": 1,
  "topk_method": "noaux_tc", "norm_topk_prob": true, "routed_scaling_factor": 1.8,
  "num_attention_heads": 20, "num_key_value_heads": 20, "q_lora_rank": 768, "kv_lora_rank": 512,
  "qk_nope_head_dim": 192, "qk_rope_head_dim": 64, "v_head_dim": 256, "head_dim": 64,
  "attention_bias": false, "rms_norm_eps": 1e-05, "rope_theta": 1000000, "rope_scaling": null,
  "partial_rotary_factor": 1.0, "max_position_embeddings": 202752, "hidden_act": "silu",
  "tie_word_embeddings": false, "pad_token_id": 154820, "eos_token_id": [154820, 154827, 154829]})";

TEST(ModelFacts, CountsWhatIsPublishedOfFlash) {
  const auto facts = inspect_config(kFlash);
  ASSERT_TRUE(facts.ok()) << facts.error().message;
  EXPECT_NEAR(static_cast<double>(facts->parameters), 29.943e9, 1e6);
  EXPECT_NEAR(static_cast<double>(facts->parameters_active), 3579e6, 1e6);
  EXPECT_EQ(facts->kv_bytes_per_token, 54144U);
  EXPECT_EQ(facts->context_max, 202752);
  EXPECT_EQ(facts->vocab_size, 154880);
  EXPECT_EQ(facts->eos_ids, (std::vector<std::int32_t>{154820, 154827, 154829}));
  EXPECT_EQ(facts->format_summary, "bf16");
  EXPECT_EQ(facts->latent_norm_eps, 1e-5F);
}

TEST(ModelFacts, LetsGenerationConfigNameTheEnds) {
  const auto facts = inspect_config(kFlash, R"({"eos_token_id": [9], "temperature": 0.5})");
  ASSERT_TRUE(facts.ok());
  EXPECT_EQ(facts->eos_ids, (std::vector<std::int32_t>{9}));
  EXPECT_EQ(facts->generation.temperature, 0.5F);
}

TEST(ModelFacts, SumsUpFormatsByGroup) {
  TemporaryFolder folder;
  fakes::TinyModelOptions options;
  options.weights = FakeWeights::int4_group32;
  fakes::write_tiny_model(folder.path(), options);
  const auto files = files_in(folder.path());
  const auto facts = inspect(*files);
  ASSERT_TRUE(facts.ok()) << facts.error().message;
  EXPECT_EQ(facts->format_summary, "int4 g32 (compressed-tensors)");
  EXPECT_FALSE(facts->has_mtp);
  EXPECT_EQ(facts->notes,
            (std::vector<std::string>{
                "layer 3 is a part of an MTP layer only (without enorm, hnorm, self_attn, mlp) and "
                "is left aside",
                "2 modules (the first is 'lm_head') are stored unquantized although config.json: "
                "quantization_config says otherwise"}));
  EXPECT_EQ(facts->eos_ids, (std::vector<std::int32_t>{3, 5, 7}));
  std::map<std::string, std::uint64_t> modules;
  for (const FormatGroup& row : facts->formats) modules[row.group] += row.modules;
  EXPECT_EQ(modules["experts"], 2U * 5 * 3);
  EXPECT_EQ(modules["shared experts"], 2U * 3);
  EXPECT_EQ(modules["attention"], 3U * 5);
  EXPECT_EQ(modules["dense mlp"], 3U);
  EXPECT_EQ(modules["router"], 2U);
  EXPECT_EQ(modules["norms"], 3U * 4 + 1);
  EXPECT_EQ(modules["embeddings"], 1U);
  EXPECT_EQ(modules["output head"], 1U);
  EXPECT_EQ(modules["mtp layer"], 1U);
  EXPECT_EQ(facts->formats.front().group, "experts");

  const auto json = nlohmann::json::parse(facts_json(*facts), nullptr, false);
  EXPECT_EQ(json["architecture"], "glm4_moe_lite");
  EXPECT_EQ(json["format"], "int4 g32 (compressed-tensors)");
  EXPECT_EQ(json["experts"], 5);
}

TEST(ModelFacts, AreTheSameFromHeadersAlone) {
  TemporaryFolder folder;
  fakes::write_tiny_model(folder.path(), {});
  CheckpointFiles files = std::move(files_in(folder.path())).value();
  const auto here = inspect(files);
  ASSERT_TRUE(here.ok()) << here.error().message;
  const ShardHeader shard = fakes::shard_header(folder.path() / "model.safetensors");
  files.erase("model.safetensors");
  const auto remote = inspect_headers(files, std::span(&shard, 1));
  ASSERT_TRUE(remote.ok()) << remote.error().message;
  EXPECT_EQ(facts_json(*remote), facts_json(*here));
}

TEST(ModelFacts, CountTheParametersThatAreThere) {
  TemporaryFolder folder;
  fakes::write_tiny_model(folder.path(), {});
  const auto facts = inspect(*files_in(folder.path()));
  ASSERT_TRUE(facts.ok());
  std::uint64_t stored = 0, bytes = 0;
  for (const FormatGroup& row : facts->formats) {
    bytes += row.bytes;
    if (row.group != kMtpGroup) stored += row.parameters;
  }
  EXPECT_EQ(facts->parameters, stored);
  EXPECT_EQ(facts->weight_bytes, bytes);
  EXPECT_TRUE(facts->unquantized.empty());  // nothing is quantized
}

TEST(ModelFacts, TellWhatIsLeftUnquantized) {
  TemporaryFolder folder;
  fakes::TinyModelOptions options;
  options.weights = FakeWeights::int4_group32;
  fakes::FakeTensors tensors = fakes::tiny_tensors(options);
  const fakes::FakeTensors plain = fakes::tiny_tensors({});
  for (const char* layer : {"0", "2"}) {
    const std::string module = fmt::format("model.layers.{}.self_attn.o_proj", layer);
    for (const char* part : {".weight_packed", ".weight_scale", ".weight_shape"}) {
      tensors.erase(module + part);
    }
    tensors[module + ".weight"] = plain.at(module + ".weight");
  }
  fakes::write_file(folder.path() / "config.json", fakes::tiny_config(options));
  fakes::write_safetensors(folder.path() / "model.safetensors", tensors);
  const auto facts = inspect(*files_in(folder.path()));
  ASSERT_TRUE(facts.ok()) << facts.error().message;
  std::map<std::string, UnquantizedGroup> rows;
  for (const UnquantizedGroup& row : facts->unquantized) rows[row.group] = row;
  EXPECT_EQ(rows["attention"].modules, 2U);
  EXPECT_EQ(rows["attention"].of, 3U * 5);
  EXPECT_EQ(rows["attention"].layers, "0, 2");
  EXPECT_EQ(rows["attention"].first, "model.layers.0.self_attn.o_proj");
  EXPECT_EQ(rows["router"].layers, "1-2");
  EXPECT_EQ(rows["embeddings"].layers, "");
  EXPECT_FALSE(rows.contains("experts"));
  EXPECT_FALSE(rows.contains("norms"));
}

TEST(ModelFacts, SurveyWhatCannotRun) {
  TemporaryFolder folder;
  fakes::write_tiny_model(folder.path(), {});
  fakes::write_file(folder.path() / "config.json",
                    R"({"model_type": "llama", "num_hidden_layers": 3, "dtype": "bfloat16",
                        "max_position_embeddings": 4096})");
  const auto files = files_in(folder.path());
  const auto facts = survey(*files);
  ASSERT_TRUE(facts.ok()) << facts.error().message;
  ASSERT_TRUE(facts->refusal);
  EXPECT_EQ(facts->refusal->code, Errc::unsupported);
  EXPECT_EQ(inspect(*files).error().message, facts->refusal->message);
  EXPECT_EQ(facts->architecture, "llama");
  EXPECT_EQ(facts->context_max, 4096);
  EXPECT_EQ(facts->format_summary, "bf16");
  EXPECT_GT(facts->parameters, 0U);
  EXPECT_EQ(nlohmann::json::parse(facts_json(*facts))["refusal"], facts->refusal->message);

  fakes::write_file(folder.path() / "config.json", "[]");
  EXPECT_EQ(survey(*files).error().code, Errc::corrupt);
}

TEST(ModelFacts, RefuseModulesThatCannotBeRead) {
  TemporaryFolder folder;
  fakes::FakeTensors tensors = fakes::tiny_tensors({});
  const std::string module = "model.layers.1.mlp.experts.2.up_proj";
  tensors[module + ".weight"].dtype = "F8_E4M3";
  tensors[module + ".weight"].bytes.resize(32 * 96);
  fakes::write_file(folder.path() / "config.json", fakes::tiny_config({}));
  fakes::write_safetensors(folder.path() / "model.safetensors", tensors);
  const auto facts = inspect(*files_in(folder.path()));
  ASSERT_FALSE(facts.ok());
  EXPECT_EQ(facts.error().code, Errc::unsupported);
  EXPECT_EQ(facts.error().message,
            "module 'model.layers.1.mlp.experts.2.up_proj': FP8 without scales is not supported "
            "(recognised by model.layers.1.mlp.experts.2.up_proj.weight, f8_e4m3 [32, 96]); pull "
            "this model unquantized, or as compressed-tensors, AWQ, GPTQ, ModelOpt NVFP4 or FP8");
}

TEST(ModelFacts, SayThatTheConfigIsMissing) {
  EXPECT_EQ(inspect({}).error().message, "the checkpoint has no config.json");
  EXPECT_EQ(inspect_small_files({}).error().code, Errc::not_found);
}

}  // namespace
}  // namespace glm::runner
