// Spelling variants that must read alike, and the full text of every refusal.
#include "runner/checkpoint/model_config.h"

#include <gtest/gtest.h>

#include "runner/checkpoint/architectures.h"
#include "runner/checkpoint/generation_config.h"
#include "tests/fakes/tiny_random_model.h"

namespace glm::runner {
namespace {

fakes::TinyModelOptions grouped() {
  fakes::TinyModelOptions options;
  options.architecture = fakes::FakeArchitecture::glm4_moe;
  return options;
}

// The tiny config with one piece of its text replaced.
std::string edited(const std::string& from, const std::string& to,
                   const fakes::TinyModelOptions& options = {}) {
  std::string config = fakes::tiny_config(options);
  const auto at = config.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return config.replace(at, from.size(), to);
}

ModelConfig parsed(const std::string& json) {
  auto config = parse_model_config(json);
  EXPECT_TRUE(config.ok()) << config.error().message;
  return config.ok() ? std::move(config).value() : ModelConfig();
}

TEST(ModelConfig, ReadsEveryField) {
  const ModelConfig config = parsed(fakes::tiny_config({}));
  EXPECT_EQ(config.architecture, "glm4_moe_lite");
  EXPECT_EQ(config.hidden_size, 96);
  EXPECT_EQ(config.layers, 3);
  EXPECT_EQ(config.dense_layers, 1);
  EXPECT_EQ(config.mtp_layers, 1);
  EXPECT_EQ(config.heads, 3);
  EXPECT_EQ(config.mla.qk_dim(), 32);
  EXPECT_EQ(config.mla.cache_dim(), 72);
  EXPECT_EQ(config.mla.v_dim, 20);
  EXPECT_EQ(config.moe.experts, 5);
  EXPECT_EQ(config.moe.experts_per_token, 2);
  EXPECT_FLOAT_EQ(config.moe.routed_scale, 1.8F);
  EXPECT_TRUE(config.moe.normalize_weights);
  EXPECT_EQ(config.rope_theta, 1e6);
  EXPECT_TRUE(config.rope_interleaved);
  EXPECT_FLOAT_EQ(config.rms_norm_eps, 1e-5F);
  EXPECT_EQ(config.eos_ids, (std::vector<std::int32_t>{3, 5}));
}

TEST(ModelConfig, ReadsGroupedQueryAttention) {
  const ModelConfig config = parsed(fakes::tiny_config(grouped()));
  EXPECT_EQ(config.architecture, "glm4_moe");
  EXPECT_EQ(config.heads, 3);
  EXPECT_EQ(config.gqa.kv_heads, 1);
  EXPECT_EQ(config.gqa.head_dim, 36);
  EXPECT_EQ(config.gqa.rope_dim, 18);  // half of the head where the file is silent
  EXPECT_TRUE(config.gqa.bias);
  EXPECT_TRUE(config.gqa.qk_norm);
  EXPECT_FALSE(config.rope_interleaved);
  EXPECT_EQ(config.cache_dim(), 72);
  EXPECT_EQ(config.rope_dim(), 18);
  EXPECT_EQ(config.mla.cache_dim(), 0);
}

TEST(ModelConfig, TakesTheDefaultsOfTheReferenceLibrary) {
  EXPECT_EQ(parsed(edited(R"("first_k_dense_replace": 1,)", "")).dense_layers, 1);
  EXPECT_EQ(parsed(edited(R"("n_shared_experts": 1,)", "")).moe.shared_experts, 1);
  EXPECT_FLOAT_EQ(parsed(edited(R"("routed_scaling_factor": 1.8,)", "")).moe.routed_scale, 1.8F);
  EXPECT_FLOAT_EQ(
      parsed(edited(R"("routed_scaling_factor": 1.8,)", "", grouped())).moe.routed_scale, 1.0F);
  EXPECT_FALSE(parsed(edited(R"("use_qk_norm": true)", R"("x": 1)", grouped())).gqa.qk_norm);
  EXPECT_FALSE(parsed(edited(R"("attention_bias": true)", R"("x": 1)", grouped())).gqa.bias);
  EXPECT_EQ(parsed(edited(R"("num_key_value_heads": 1)", R"("x": 1)", grouped())).gqa.kv_heads, 3);
  EXPECT_EQ(parsed(edited(R"("head_dim": 36)", R"("head_dim": null)", grouped())).gqa.head_dim,
            96 / 3);
}

TEST(ModelConfig, ReadsHowMuchOfAHeadIsRotatedFromEitherPlace) {
  const auto rope_dim = [](const std::string& to) {
    return parsed(edited(R"("rope_theta": 1000000,)", to, grouped())).gqa.rope_dim;
  };
  EXPECT_EQ(rope_dim(R"("rope_theta": 1000000, "partial_rotary_factor": 1.0,)"), 36);
  EXPECT_EQ(rope_dim(R"("rope_theta": 1000000, "partial_rotary_factor": 0.4,)"), 14);
  const std::string old_style =
      edited("rope_parameters",
             R"(partial_rotary_factor": 0.8, "rope_scaling": null, "rope_theta": 5e5, "ignored)",
             grouped());
  EXPECT_EQ(parsed(old_style).gqa.rope_dim, 28);
  EXPECT_EQ(parsed(old_style).rope_theta, 5e5);
  // transformers 5 writes both, and means the inner one.
  EXPECT_EQ(rope_dim(R"("rope_theta": 1e6, "partial_rotary_factor": 0.4}, "partial_rotary_factor":
      0.5, "ignored": {)"),
            14);
}

TEST(ModelConfig, AcceptsTheSpellingsOfOtherWriters) {
  EXPECT_EQ(parsed(edited(R"("first_k_dense_replace": 1)",
                          R"("mlp_layer_types": ["dense", "dense", "sparse"])"))
                .dense_layers,
            2);
  EXPECT_EQ(parsed(edited("n_routed_experts", "num_local_experts")).moe.experts, 5);
  EXPECT_EQ(parsed(edited("rope_parameters", "rope_scaling")).rope_theta, 1e6);
  EXPECT_EQ(parsed(edited(R"("dtype")", R"("torch_dtype")")).dtype, "bfloat16");
  EXPECT_EQ(parsed(edited(R"("rope_parameters")",
                          R"("rope_theta": 5e5, "rope_scaling": null, "ignored")"))
                .rope_theta,
            5e5);
  EXPECT_EQ(parsed(edited("num_nextn_predict_layers", "num_mtp_layers")).mtp_layers, 1);
  EXPECT_EQ(parsed(edited("[3, 5]", "7")).eos_ids, (std::vector<std::int32_t>{7}));
  EXPECT_EQ(parsed(edited("[3, 5]", "null")).eos_ids, (std::vector<std::int32_t>{}));
  EXPECT_EQ(parsed(edited(R"("model_type": "glm4_moe_lite",)", "")).architecture, "glm4_moe_lite");
  EXPECT_EQ(parsed(edited(R"("num_nextn_predict_layers": 1)", R"("head_dim": 8)")).mtp_layers, 0);
}

struct ErrorCase {
  const char* name;
  std::string from;
  std::string to;
  std::string want;
};

class ConfigError : public testing::TestWithParam<ErrorCase> {};

TEST_P(ConfigError, NamesTheField) {
  const auto config = parse_model_config(edited(GetParam().from, GetParam().to));
  ASSERT_FALSE(config.ok());
  EXPECT_EQ(config.error().message, "config.json: " + GetParam().want);
}

INSTANTIATE_TEST_SUITE_P(
    All, ConfigError,
    testing::ValuesIn(std::vector<ErrorCase>{
        {"missing", R"("hidden_size": 96,)", "", "hidden_size is missing"},
        {"null", R"("hidden_size": 96)", R"("hidden_size": null)", "hidden_size is missing"},
        {"word", R"("hidden_size": 96)", R"("hidden_size": "big")",
         "hidden_size: got \"big\", wanted an integer from 1 to 262144"},
        {"fraction", R"("hidden_size": 96)", R"("hidden_size": 96.5)",
         "hidden_size: got 96.5, wanted an integer from 1 to 262144"},
        {"zero", R"("num_hidden_layers": 3)", R"("num_hidden_layers": 0)",
         "num_hidden_layers: got 0, wanted an integer from 1 to 1024"},
        {"negative", R"("vocab_size": 101)", R"("vocab_size": -101)",
         "vocab_size: got -101, wanted an integer from 1 to 16777216"},
        {"absurd", R"("vocab_size": 101)", R"("vocab_size": 18446744073709551615)",
         "vocab_size: got 18446744073709551615, wanted an integer from 1 to 16777216"},
        {"odd_rope", R"("qk_rope_head_dim": 8)", R"("qk_rope_head_dim": 7)",
         "qk_rope_head_dim: got 7, wanted an even number"},
        {"more_chosen_than_there", R"("num_experts_per_tok": 2)", R"("num_experts_per_tok": 6)",
         "num_experts_per_tok: got 6, wanted an integer from 1 to 5"},
        {"groups_do_not_divide", R"("n_group": 1)", R"("n_group": 2)",
         "n_group: got 2, wanted a divisor of 5 experts"},
        {"scale_of_nothing", R"("routed_scaling_factor": 1.8)", R"("routed_scaling_factor": 0)",
         "routed_scaling_factor: got 0, wanted a number from 1e-06 to 1000000"},
        {"too_many_dense", R"("first_k_dense_replace": 1)", R"("first_k_dense_replace": 4)",
         "first_k_dense_replace: got 4, wanted an integer from 0 to 3"},
        {"layer_types_cut", R"("first_k_dense_replace": 1)", R"("mlp_layer_types": ["dense"])",
         "mlp_layer_types: got [\"dense\"], wanted \"dense\" entries followed by \"sparse\" ones, "
         "one for each layer"},
        {"layer_types_mixed", R"("first_k_dense_replace": 1)",
         R"("mlp_layer_types": ["sparse", "dense", "sparse"])",
         "mlp_layer_types: got [\"sparse\",\"dense\",\"sparse\"], wanted \"dense\" entries "
         "followed "
         "by \"sparse\" ones, one for each layer"},
        {"rope_is_a_list", R"("rope_parameters": {"rope_theta": 1000000,
  "rope_type": "default"})",
         R"("rope_parameters": [])", "rope_parameters: got [], wanted an object"},
        {"no_theta", R"("rope_theta": 1000000)", R"("x": 1)", "rope_theta is missing"},
        {"yarn", R"("rope_type": "default")", R"("rope_type": "yarn")",
         "rope_parameters: rope_type: \"yarn\" is not supported yet, only \"default\""},
        {"softmax", R"("n_group": 1)", R"("scoring_func": "softmax")",
         "scoring_func: \"softmax\" is not supported yet, only \"sigmoid\""},
        {"biased", R"("attention_bias": false)", R"("attention_bias": true)",
         "attention_bias: true is not supported yet, only false"},
        {"eos_words", "[3, 5]", R"(["a"])",
         "eos_token_id: got [\"a\"], wanted a token id or a list of up to 64 token ids"},
        {"heads_disagree", R"("v_head_dim": 20)", R"("v_head_dim": 20, "qk_head_dim": 31)",
         "qk_head_dim: got 31, wanted 32, the sum of qk_nope_head_dim and qk_rope_head_dim"},
    }),
    [](const auto& test) { return test.param.name; });

class GroupedConfigError : public testing::TestWithParam<ErrorCase> {};

TEST_P(GroupedConfigError, NamesTheField) {
  const auto config = parse_model_config(edited(GetParam().from, GetParam().to, grouped()));
  ASSERT_FALSE(config.ok());
  EXPECT_EQ(config.error().message, "config.json: " + GetParam().want);
}

INSTANTIATE_TEST_SUITE_P(
    All, GroupedConfigError,
    testing::ValuesIn(std::vector<ErrorCase>{
        {"groups_do_not_divide", R"("num_key_value_heads": 1)", R"("num_key_value_heads": 2)",
         "num_key_value_heads: got 2, wanted a divisor of 3 attention heads"},
        {"more_kv_heads_than_heads", R"("num_key_value_heads": 1)", R"("num_key_value_heads": 6)",
         "num_key_value_heads: got 6, wanted an integer from 1 to 3"},
        {"no_head_dim_to_derive",
         R"("num_attention_heads": 3, "num_key_value_heads": 1, "head_dim": 36)",
         R"("num_attention_heads": 5)", "head_dim is missing"},
        {"odd_rotation", R"("head_dim": 36)", R"("head_dim": 38)",
         "partial_rotary_factor: 0.5 of a head of 38 elements are 19, wanted an even number from "
         "2"},
        {"odd_rotation_said_inside", R"("rope_theta": 1000000,)",
         R"("rope_theta": 1000000, "partial_rotary_factor": 0.25,)",
         "rope_parameters: partial_rotary_factor: 0.25 of a head of 36 elements are 9, wanted an "
         "even number from 2"},
        {"nothing_rotated", R"("head_dim": 36)", R"("head_dim": 36, "partial_rotary_factor": 0)",
         "partial_rotary_factor: 0 of a head of 36 elements are 0, wanted an even number from 2"},
        {"absurd_head", R"("head_dim": 36)", R"("head_dim": 4096)",
         "head_dim: got 4096, wanted an integer from 1 to 1024"},
        {"bias_in_words", R"("attention_bias": true)", R"("attention_bias": "yes")",
         "attention_bias: got \"yes\", wanted true or false"},
    }),
    [](const auto& test) { return test.param.name; });

TEST(ModelConfig, SaysWhatIsMissingForArchitecturesThatDoNotRunYet) {
  for (const Architecture& row : known_architectures()) {
    if (row.missing.empty()) continue;
    const auto config =
        parse_model_config(fmt::format(R"({{"model_type": "{}"}})", row.model_type));
    ASSERT_FALSE(config.ok());
    EXPECT_EQ(config.error().code, Errc::unsupported);
    EXPECT_EQ(config.error().message,
              fmt::format("architecture '{}' is not supported yet: what is missing is {}; this "
                          "program runs glm4_moe_lite, glm4_moe",
                          row.model_type, row.missing));
  }
  EXPECT_EQ(parse_model_config(R"({"architectures": ["MambaForCausalLM"]})").error().message,
            "architecture 'MambaForCausalLM' is unknown to this program; it runs glm4_moe_lite, "
            "glm4_moe");
  EXPECT_EQ(parse_model_config(R"({"architectures": ["LlamaForCausalLM"]})").error().message,
            "architecture 'llama' is not supported yet: what is missing is the reading of configs "
            "without a mixture of experts, and rotary scaling of the llama3 kind; this program "
            "runs glm4_moe_lite, glm4_moe");
}

TEST(ModelConfig, RefusesTextThatIsNoConfig) {
  EXPECT_EQ(parse_model_config("").error().message, "config.json: not valid JSON");
  EXPECT_EQ(parse_model_config("[1,2]").error().message,
            "config.json: got [1,2], wanted a JSON object");
  EXPECT_EQ(parse_model_config("{}").error().message,
            "config.json: neither model_type nor architectures says what this is");
  EXPECT_EQ(parse_model_config(R"({"model_type": 7})").error().message,
            "config.json: model_type: got 7, wanted a string");
}

// Every cut and many single-byte changes: an answer, never a crash.
TEST(ModelConfig, AnswersToEveryDamage) {
  for (const std::string& good : {fakes::tiny_config({}), fakes::tiny_config(grouped())}) {
    for (std::size_t at = 0; at < good.size(); ++at) {
      (void)parse_model_config(good.substr(0, at));
      for (const int change : {1, 2, 4, 16}) {
        std::string bad = good;
        bad[at] = static_cast<char>(bad[at] ^ change);
        (void)parse_model_config(bad);
      }
    }
  }
}

TEST(GenerationConfig, ReadsWhatIsThere) {
  const auto config = parse_generation_config(
      R"({"do_sample": true, "temperature": 1.0, "top_p": 0.95, "top_k": 40, "eos_token_id": [1, 2]})");
  ASSERT_TRUE(config.ok());
  EXPECT_EQ(config->defaults.do_sample, true);
  EXPECT_EQ(config->defaults.temperature, 1.0F);
  EXPECT_EQ(config->defaults.top_p, 0.95F);
  EXPECT_EQ(config->defaults.top_k, 40);
  EXPECT_EQ(config->defaults.min_p, std::nullopt);
  EXPECT_EQ(config->eos_ids, (std::vector<std::int32_t>{1, 2}));
  EXPECT_TRUE(parse_generation_config("{}").ok());
  EXPECT_EQ(parse_generation_config(R"({"top_p": 2})").error().message,
            "generation_config.json: top_p: got 2, wanted a number from 0 to 1");
}

}  // namespace
}  // namespace glm::runner
