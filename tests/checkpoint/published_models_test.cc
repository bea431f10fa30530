// The published models' configs, in the dialects of their writers, against what is known of them:
// parameters as the reference library (transformers 5.17) counts them without the layer for
// multi-token prediction, and the bytes a token takes in a 16-bit cache.
#include <gtest/gtest.h>

#include "runner/checkpoint/model_facts.h"
#include "tests/fakes/tiny_random_model.h"

namespace glm::runner {
namespace {

struct Published {
  const char* name;
  std::string_view config;
  std::uint64_t parameters;
  std::uint64_t active;
  std::uint64_t kv_bytes_per_token;
};

const Published kPublished[] = {
    {"GLM_4_7_Flash", R"({"architectures": ["Glm4MoeLiteForCausalLM"],
      "model_type": "glm4_moe_lite", "dtype": "bfloat16", "vocab_size": 154880,
      "hidden_size": 2048, "num_hidden_layers": 47, "num_nextn_predict_layers": 1,
      "first_k_dense_replace": 1, "intermediate_size": 10240, "moe_intermediate_size": 1536,
      "n_routed_experts": 64, "num_experts_per_tok": 4, "n_shared_experts": 1, "n_group": 1,
      "topk_group": 1, "topk_method": "noaux_tc", "norm_topk_prob": true,
      "routed_scaling_factor": 1.8, "num_attention_heads": 20, "num_key_value_heads": 20,
      "q_lora_rank": 768, "kv_lora_rank": 512, "qk_nope_head_dim": 192, "qk_rope_head_dim": 64,
      "v_head_dim": 256, "head_dim": 64, "attention_bias": false, "rms_norm_eps": 1e-05,
      "rope_theta": 1000000, "rope_scaling": null, "partial_rotary_factor": 1.0,
      "max_position_embeddings": 202752, "hidden_act": "silu", "tie_word_embeddings": false,
      "pad_token_id": 154820, "eos_token_id": [154820, 154827, 154829]})",
     29943393920, 3579571840, 47 * 576 * 2},
    {"GLM_4_5_Air", R"({"architectures": ["Glm4MoeForCausalLM"], "model_type": "glm4_moe",
      "torch_dtype": "bfloat16", "vocab_size": 151552, "hidden_size": 4096,
      "num_hidden_layers": 46, "num_nextn_predict_layers": 1, "first_k_dense_replace": 1,
      "intermediate_size": 10944, "moe_intermediate_size": 1408, "n_routed_experts": 128,
      "num_experts_per_tok": 8, "n_shared_experts": 1, "n_group": 1, "topk_group": 1,
      "norm_topk_prob": true, "routed_scaling_factor": 1.0, "num_attention_heads": 96,
      "num_key_value_heads": 8, "head_dim": 128, "attention_bias": true, "use_qk_norm": false,
      "rms_norm_eps": 1e-05, "rope_theta": 1000000, "rope_scaling": null,
      "partial_rotary_factor": 0.5, "max_position_embeddings": 131072, "hidden_act": "silu",
      "tie_word_embeddings": false, "eos_token_id": [151329, 151336, 151338]})",
     106852251264, 12803372672, 46 * 2 * 8 * 128 * 2},
    // As transformers 5 writes it.
    {"GLM_4_7", R"({"architectures": ["Glm4MoeForCausalLM"], "model_type": "glm4_moe",
      "dtype": "bfloat16", "vocab_size": 151552, "hidden_size": 5120, "num_hidden_layers": 92,
      "num_mtp_layers": 1, "first_k_dense_replace": 3, "intermediate_size": 12288,
      "moe_intermediate_size": 1536, "num_local_experts": 160, "num_experts_per_tok": 8,
      "n_shared_experts": 1, "n_group": 1, "topk_group": 1, "norm_topk_prob": true,
      "routed_scaling_factor": 2.5, "num_attention_heads": 96, "num_key_value_heads": 8,
      "head_dim": 128, "attention_bias": true, "use_qk_norm": true, "rms_norm_eps": 1e-05,
      "rope_parameters": {"rope_theta": 1000000.0, "rope_type": "default",
                          "partial_rotary_factor": 0.5},
      "max_position_embeddings": 202752, "hidden_act": "silu", "tie_word_embeddings": false,
      "eos_token_id": [151329, 151336, 151338]})",
     352797829024, 32856319904, 92 * 2 * 8 * 128 * 2},
};

class PublishedModel : public testing::TestWithParam<Published> {};

TEST_P(PublishedModel, IsCountedAsPublished) {
  const auto facts = inspect_config(GetParam().config);
  ASSERT_TRUE(facts.ok()) << facts.error().message;
  EXPECT_EQ(facts->parameters, GetParam().parameters);
  EXPECT_EQ(facts->parameters_active, GetParam().active);
  EXPECT_EQ(facts->kv_bytes_per_token, GetParam().kv_bytes_per_token);
  EXPECT_EQ(facts->config.rope_dim(), 64);
  EXPECT_EQ(facts->config.rope_theta, 1e6);
  EXPECT_EQ(facts->config.mtp_layers, 1);
}

INSTANTIATE_TEST_SUITE_P(All, PublishedModel, testing::ValuesIn(kPublished),
                         [](const auto& test) { return test.param.name; });

TEST(ModelFacts, CountTheParametersThatAreThereForEveryArchitecture) {
  fakes::TinyModelOptions options;
  options.architecture = fakes::FakeArchitecture::glm4_moe;
  for (const bool bias : {false, true}) {
    for (const bool qk_norm : {false, true}) {
      options.attention_bias = bias;
      options.qk_norm = qk_norm;
      fakes::TemporaryFolder folder;
      fakes::write_tiny_model(folder.path(), options);
      const auto facts = inspect(*files_in(folder.path()));
      ASSERT_TRUE(facts.ok()) << facts.error().message;
      std::uint64_t stored = 0;
      for (const FormatGroup& row : facts->formats) {
        if (row.group != "mtp layer") stored += row.parameters;
      }
      EXPECT_EQ(facts->parameters, stored);
    }
  }
}

}  // namespace
}  // namespace glm::runner
