// Random checkpoints in awkward shapes against transformers in float32: the golden files say how
// every weight follows from its tensor's name (tests/golden/models/README.md), so that only logits
// are stored. Linear weights are int4 numbers times a scale per row, exact in every format that can
// hold them: the same logits must come out of a plain checkpoint, of one with fused experts, and of
// one packed to int4 with a channel strategy, whose rows end in the middle of a word.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "runner/models/registry.h"
#include "tests/fakes/tiny_random_model.h"

namespace glm::runner {
namespace {

using fakes::FakeTensors;
using nlohmann::json;

constexpr const char* kModels[] = {"glm4_moe_lite", "glm4_moe_lite_groups_tied",
                                   "glm4_moe_6_heads_2_kv", "glm4_moe_5_heads_1_kv",
                                   "glm4_moe_3_heads_3_kv_tied"};
constexpr double kTolerance = 1e-5;  // of the largest logit

// Number `index` of those that follow from a name: FNV-1a, then the finalizer of splitmix64.
std::uint64_t number(const std::string& name, std::int64_t index) {
  std::uint64_t z = 0xCBF29CE484222325U;
  for (const char c : name) z = (z ^ static_cast<unsigned char>(c)) * 0x100000001B3U;
  z += (static_cast<std::uint64_t>(index) + 1) * 0x9E3779B97F4A7C15U;
  z = (z ^ (z >> 30U)) * 0xBF58476D1CE4E5B9U;
  z = (z ^ (z >> 27U)) * 0x94D049BB133111EBU;
  return z ^ (z >> 31U);
}

// One entry of "tensors".
struct Recipe {
  explicit Recipe(const json& row)
      : name(row["name"].get<std::string>()),
        shape(row["shape"].get<std::vector<std::int64_t>>()),
        int4(row["form"] == "int4"),
        step(std::ldexp(1.0F, -row["exponent"].get<int>())),
        centre(row.value("centre", 0.0F)) {}

  std::int64_t rows() const { return shape[0]; }
  std::int64_t cols() const { return shape.size() == 2 ? shape[1] : 1; }
  int quantized(std::int64_t index) const { return static_cast<int>(number(name, index) >> 60U); }
  float scale(std::int64_t row) const {
    return static_cast<float>(8 + (number(name + ".scale", row) >> 61U)) * step;
  }
  float value(std::int64_t index) const {
    if (int4) return static_cast<float>(quantized(index) - 8) * scale(index / cols());
    return centre + static_cast<float>(static_cast<int>(number(name, index) >> 52U) - 2048) * step;
  }
  std::vector<float> values() const {
    std::vector<float> all;
    for (std::int64_t i = 0; i < rows() * cols(); ++i) all.push_back(value(i));
    return all;
  }

  std::string name;
  std::vector<std::int64_t> shape;
  bool int4;
  float step;
  float centre;
};

// As compressed-tensors packs it: eight columns a word, the first in the lowest bits.
void pack(const Recipe& recipe, FakeTensors& tensors) {
  const std::int64_t words = (recipe.cols() + 7) / 8;
  std::vector<std::uint32_t> packed(static_cast<std::size_t>(recipe.rows() * words));
  std::vector<float> scales;
  for (std::int64_t r = 0; r < recipe.rows(); ++r) {
    scales.push_back(recipe.scale(r));
    for (std::int64_t c = 0; c < recipe.cols(); ++c) {
      packed[static_cast<std::size_t>(r * words + c / 8)] |=
          static_cast<std::uint32_t>(recipe.quantized(r * recipe.cols() + c)) << (4 * (c % 8));
    }
  }
  tensors[recipe.name + "_packed"] = fakes::i32_tensor({recipe.rows(), words}, packed);
  tensors[recipe.name + "_scale"] = fakes::bf16_tensor({recipe.rows(), 1}, scales);
  tensors[recipe.name + "_shape"] = fakes::i64_tensor({2}, {recipe.rows(), recipe.cols()});
}

FakeTensors plain_tensors(const json& golden) {
  FakeTensors tensors;
  for (const json& row : golden["tensors"]) {
    const Recipe recipe(row);
    tensors[recipe.name] = fakes::f32_tensor(recipe.shape, recipe.values());
  }
  return tensors;
}

FakeTensors packed_tensors(const json& golden) {
  FakeTensors tensors;
  for (const json& row : golden["tensors"]) {
    const Recipe recipe(row);
    if (recipe.int4) {
      pack(recipe, tensors);
    } else {
      tensors[recipe.name] = fakes::f32_tensor(recipe.shape, recipe.values());
    }
  }
  return tensors;
}

// experts.<e>.{gate,up,down}_proj.weight as experts.gate_up_proj and experts.down_proj.
FakeTensors fused_tensors(const json& golden) {
  FakeTensors tensors = plain_tensors(golden);
  const auto experts = golden["config"]["n_routed_experts"].get<std::int64_t>();
  for (int layer = 0; layer < golden["config"]["num_hidden_layers"].get<int>(); ++layer) {
    const std::string prefix = fmt::format("model.layers.{}.mlp.experts", layer);
    for (std::int64_t e = 0; e < experts; ++e) {
      for (const char* part : {"gate", "up", "down"}) {
        const auto one = tensors.find(fmt::format("{}.{}.{}_proj.weight", prefix, e, part));
        if (one == tensors.end()) continue;  // a dense layer
        const bool down = part[0] == 'd';
        auto& all = tensors[prefix + (down ? ".down_proj" : ".gate_up_proj")];
        all.dtype = "F32";
        all.shape = {experts, (down ? 1 : 2) * one->second.shape[0], one->second.shape[1]};
        all.bytes.insert(all.bytes.end(), one->second.bytes.begin(), one->second.bytes.end());
        tensors.erase(one);
      }
    }
  }
  return tensors;
}

json packed_config(json config) {
  config["quantization_config"] = json::parse(R"({"quant_method": "compressed-tensors",
    "format": "pack-quantized", "config_groups": {"group_0": {"targets": ["Linear"], "weights":
    {"num_bits": 4, "type": "int", "symmetric": true, "group_size": null,
     "strategy": "channel"}}}, "ignore": ["lm_head", "re:.*mlp.gate$"]})",
                                              nullptr, false);
  return config;
}

class ReferenceLogits : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    const auto path = std::filesystem::path(GLM_SOURCE_DIR) / "tests/golden/models" /
                      (std::string(GetParam()) + ".json");
    std::ifstream stream(path);
    golden_ = json::parse(stream, nullptr, false);
    ASSERT_FALSE(golden_.is_discarded()) << path;
  }

  void expect_logits(const json& config, const FakeTensors& tensors, const LoadOptions& options) {
    fakes::TemporaryFolder folder;
    fakes::write_file(folder.path() / "config.json", config.dump());
    fakes::write_safetensors(folder.path() / "model.safetensors", tensors);
    auto loaded = load_model(std::move(files_in(folder.path())).value(), options);
    ASSERT_TRUE(loaded.ok()) << loaded.error().message;
    EXPECT_TRUE((*loaded)->facts().notes.empty());
    for (const json& prompt : golden_["prompts"]) {
      const auto ids = prompt["ids"].get<std::vector<std::int32_t>>();
      const auto want = prompt["logits"].get<std::vector<std::vector<float>>>();
      for (const std::size_t piece : {std::size_t{1}, std::size_t{3}, ids.size()}) {
        SCOPED_TRACE(fmt::format("{} tokens in pieces of {}", ids.size(), piece));
        expect_prompt(**loaded, ids, want, piece);
      }
    }
  }

  // `want` holds the logits of the last positions.
  static void expect_prompt(Model& model, std::span<const std::int32_t> ids,
                            const std::vector<std::vector<float>>& want, std::size_t piece) {
    const auto pool =
        std::move(model.make_pool(pages_of(static_cast<std::int64_t>(ids.size())))).value();
    KvCache cache(*pool);
    std::vector<float> logits(static_cast<std::size_t>(model.facts().vocab_size));
    for (std::size_t done = 0; done < ids.size();) {
      const std::size_t count = std::min(piece, ids.size() - done);
      const Status status = run_tokens(model, cache, ids.subspan(done, count), logits);
      ASSERT_TRUE(status.ok()) << status.error().message;
      done += count;
      if (done + want.size() <= ids.size()) continue;
      const std::vector<float>& row = want[done + want.size() - ids.size() - 1];
      ASSERT_EQ(row.size(), logits.size());
      double largest = 0;
      double worst = 0;
      for (std::size_t i = 0; i < row.size(); ++i) {
        largest = std::max(largest, static_cast<double>(std::abs(row[i])));
        worst = std::max(worst, static_cast<double>(std::abs(row[i] - logits[i])));
      }
      EXPECT_LT(worst, kTolerance * largest) << "after " << done << " tokens";
    }
  }

  static LoadOptions reference_options() {
    LoadOptions options;
    options.latent_norm_eps = 1e-6F;  // what the reference library builds these norms with
    return options;
  }

  json golden_;
};

TEST_P(ReferenceLogits, ComeOutOfAPlainCheckpoint) {
  LoadOptions options = reference_options();
  for (const MlaForm form : {MlaForm::absorbed, MlaForm::expanded}) {
    options.mla_form = form;
    expect_logits(golden_["config"], plain_tensors(golden_), options);
  }
}

TEST_P(ReferenceLogits, ComeOutOfFusedExperts) {
  expect_logits(golden_["config"], fused_tensors(golden_), reference_options());
}

TEST_P(ReferenceLogits, ComeOutOfPackedWeights) {
  expect_logits(packed_config(golden_["config"]), packed_tensors(golden_), reference_options());
}

INSTANTIATE_TEST_SUITE_P(All, ReferenceLogits, testing::ValuesIn(kModels),
                         [](const auto& test) { return std::string(test.param); });

}  // namespace
}  // namespace glm::runner
