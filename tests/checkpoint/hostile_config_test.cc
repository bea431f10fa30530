// Every field of a config.json, in turn, as something it cannot be. What comes back is a model that
// could be, or one error that says which file is wrong.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "runner/checkpoint/model_config.h"
#include "runner/checkpoint/model_facts.h"
#include "tests/fakes/tiny_random_model.h"

namespace glm::runner {
namespace {

using nlohmann::json;

std::vector<json> hostile_values() {
  std::vector<json> values = {
      nullptr,
      true,
      false,
      "",
      "x",
      std::string(100'000, 'x'),
      json::array(),
      json::object(),
      0,
      1,
      -1,
      7,
      0.5,
      -0.0,
      1e-300,
      1e300,
      INT64_MIN,
      INT64_MAX,
      UINT64_MAX,
      1LL << 31U,
      1LL << 40U,
      json::array({1, -1, "x", nullptr, 1e300}),
      json::array({json::array()}),
      json::object({{"rope_theta", "x"}, {"type", 1}, {"weights", json::array()}}),
      "\x1b[2J\n"};
  json deep = json::array();
  for (int i = 0; i < 50; ++i) deep = json::array({std::move(deep)});
  values.push_back(std::move(deep));
  values.emplace_back(std::vector<int>(1000, 1));
  return values;
}

json tiny() {
  return json::parse(fakes::tiny_config({}), nullptr, false);
}

void expect_an_answer(const std::string& text, const std::string& field) {
  const auto config = parse_model_config(text);
  if (config.ok()) {
    // Nothing the rest of the program multiplies may overflow.
    const ModelConfig& c = *config;
    for (const std::int64_t size :
         {c.hidden_size, c.layers, c.vocab_size, c.heads, c.context_max}) {
      EXPECT_GT(size, 0) << field;
      EXPECT_LT(size, 1LL << 31U) << field;
    }
    EXPECT_TRUE(inspect_config(text).ok() || !inspect_config(text).error().message.empty());
    return;
  }
  EXPECT_FALSE(config.error().message.empty()) << field;
  EXPECT_TRUE(config.error().code == Errc::corrupt || config.error().code == Errc::unsupported)
      << field << ": " << config.error().message;
}

TEST(HostileConfig, IsAnsweredWhateverAFieldHolds) {
  json fields = tiny();
  ASSERT_TRUE(fields.is_object());
  for (const char* more :
       {"torch_dtype", "num_key_value_heads", "head_dim", "rope_scaling", "partial_rotary_factor",
        "mlp_layer_types", "moe_layer_freq", "scoring_func", "topk_method", "rope_interleave",
        "use_qk_norm", "quantization_config", "compression_config", "quantization", "text_config",
        "num_local_experts", "qk_head_dim"}) {
    if (!fields.contains(more)) fields[more] = nullptr;
  }
  for (const auto& item : fields.items()) {
    for (const json& value : hostile_values()) {
      json config = tiny();
      config[item.key()] = value;
      expect_an_answer(config.dump(), item.key());
      for (const char* inner : {"quant_method", "config_groups", "rope_theta", "bits"}) {
        config[item.key()] = json::object({{inner, value}});
        expect_an_answer(config.dump(), item.key());
      }
    }
  }
}

TEST(HostileConfig, IsAnsweredWhicheverFieldIsMissing) {
  const json whole = tiny();
  for (const auto& item : whole.items()) {
    json config = whole;
    config.erase(item.key());
    expect_an_answer(config.dump(), item.key());
  }
}

TEST(HostileConfig, IsAnsweredWhereverItIsCut) {
  const std::string whole = fakes::tiny_config({});
  for (std::size_t size = 0; size < whole.find_last_of('}'); ++size) {
    const auto config = parse_model_config(whole.substr(0, size));
    ASSERT_FALSE(config.ok());
    EXPECT_EQ(config.error().message, "config.json: not valid JSON");
  }
}

TEST(HostileConfig, IsNotFollowedDown) {
  const std::string deep(1'000'000, '[');
  EXPECT_EQ(parse_model_config(R"({"hidden_size":)" + deep).error().message,
            "config.json: nested deeper than 64 levels");
  EXPECT_EQ(parse_model_config(R"({"hidden_size":)" + deep + std::string(1'000'000, ']') + "}")
                .error()
                .message,
            "config.json: nested deeper than 64 levels");
}

}  // namespace
}  // namespace glm::runner
