// The trained tiny checkpoint against transformers in float32 (tests/golden/tiny/logits.json, made
// as its neighbours tell). Quantized forms of it must agree with the same arithmetic on the weights
// the reference library decodes, so one tolerance serves all.
#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "runner/models/registry.h"

namespace glm::runner {
namespace {

const std::filesystem::path kRoot = GLM_SOURCE_DIR;

std::unique_ptr<Model> load(const std::string& name) {
  const auto files = files_in(kRoot / "models" / name);
  EXPECT_TRUE(files.ok()) << files.error().message;
  if (!files.ok()) return nullptr;
  auto model = load_model(*files, {});
  EXPECT_TRUE(model.ok()) << model.error().message;
  return model.ok() ? std::move(model).value() : nullptr;
}

struct Golden {
  std::vector<std::int32_t> prompt;
  std::vector<float> logits;
};

std::vector<Golden> golden() {
  std::ifstream stream(kRoot / "tests/golden/tiny/logits.json");
  const auto json = nlohmann::json::parse(stream, nullptr, false);
  std::vector<Golden> all;
  if (!json.contains("prompts")) return all;
  for (const auto& row : json["prompts"]) {
    all.push_back({row["prompt_ids"].get<std::vector<std::int32_t>>(),
                   row["logits"].get<std::vector<float>>()});
  }
  return all;
}

std::vector<float> run(Model& model, const std::vector<std::int32_t>& prompt, std::size_t piece) {
  const auto pool =
      std::move(model.make_pool(pages_of(static_cast<std::int64_t>(prompt.size())))).value();
  KvCache cache(*pool);
  std::vector<float> logits(static_cast<std::size_t>(model.facts().vocab_size));
  for (std::span<const std::int32_t> rest = prompt; !rest.empty();) {
    const std::size_t count = std::min(piece, rest.size());
    const Status status = run_tokens(model, cache, rest.first(count), logits);
    EXPECT_TRUE(status.ok()) << status.error().message;
    rest = rest.subspan(count);
  }
  return logits;
}

TEST(GoldenLogits, AgreeWithTheReferenceLibrary) {
  const auto model = load("glm-tiny");
  ASSERT_NE(model, nullptr);
  const std::vector<Golden> all = golden();
  ASSERT_FALSE(all.empty()) << "tests/golden/tiny/logits.json";
  for (const Golden& row : all) {
    float largest = 0;
    for (const float logit : row.logits) largest = std::max(largest, std::abs(logit));
    for (const std::size_t piece : {std::size_t{1}, row.prompt.size()}) {
      const std::vector<float> got = run(*model, row.prompt, piece);
      // The file holds the rows of real tokens; padding rows may follow.
      ASSERT_GE(got.size(), row.logits.size());
      float worst = 0;
      for (std::size_t id = 0; id < row.logits.size(); ++id) {
        worst = std::max(worst, std::abs(got[id] - row.logits[id]));
      }
      RecordProperty("worst_relative_1e9", static_cast<int>(1e9F * worst / largest));
      EXPECT_LT(worst, 1e-5F * largest) << "prompt of " << row.prompt.size() << " tokens";
    }
  }
}

// Quantized weights move the logits; what the model says first must not change on these prompts.
TEST(GoldenLogits, KeepTheirLargestWhenTheWeightsArePacked) {
  const auto model = load("glm-tiny-int4");
  ASSERT_NE(model, nullptr);
  EXPECT_EQ(model->facts().format_summary, "int4 g32 (compressed-tensors)");
  for (const Golden& row : golden()) {
    const std::vector<float> got = run(*model, row.prompt, row.prompt.size());
    const auto top = [](const std::vector<float>& logits) {
      return std::max_element(logits.begin(), logits.end()) - logits.begin();
    };
    EXPECT_EQ(top(got), top(row.logits)) << "prompt of " << row.prompt.size() << " tokens";
  }
}

}  // namespace
}  // namespace glm::runner
