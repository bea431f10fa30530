// What a row asks of a model: counted by one that passes everything on to the tiny model.
#include "cmd/bench/generation.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "cmd/bench/subject.h"

namespace glm::bench {
namespace {

class CountingModel final : public runner::Model {
 public:
  explicit CountingModel(runner::Model& model) : model_(model) {}
  const runner::ModelFacts& facts() const override { return model_.facts(); }
  std::uint64_t weight_bytes() const override { return model_.weight_bytes(); }
  runner::BatchLimits batch_limits() const override { return limits; }
  std::uint64_t page_bytes() const override { return model_.page_bytes(); }
  std::uint64_t memory_free_bytes() const override { return model_.memory_free_bytes(); }
  Result<std::unique_ptr<runner::KvPool>> make_pool(std::int64_t pages) override {
    return model_.make_pool(pages);
  }
  Status forward(std::span<const runner::SequenceStep> batch, std::span<float> logits) override {
    return model_.forward(batch, logits);
  }
  Status submit(std::span<const runner::SequenceStep> batch) override {
    std::int64_t tokens = 0;
    for (const runner::SequenceStep& step : batch) {
      tokens += step.count();
      if (step.continues) {
        ++decoded;
        longest = std::max(longest, step.cache->length() + 1);
      } else {
        prompt_tokens += step.count();
        std::vector<std::int32_t>& prompt = prompts[step.cache];
        prompt.insert(prompt.end(), step.tokens.begin(), step.tokens.end());
      }
    }
    EXPECT_LE(tokens, limits.tokens_max);
    largest = std::max(largest, batch.size());
    EXPECT_LT(in_flight, runner::kStepsInFlightMax);
    deepest = std::max(deepest, ++in_flight);
    return model_.submit(batch);
  }
  Result<std::span<const runner::Sampled>> collect() override {
    --in_flight;
    return model_.collect();
  }

  runner::BatchLimits limits = {.tokens_max = 48, .sequences_max = 4};
  std::int64_t prompt_tokens = 0, decoded = 0, longest = 0;
  std::size_t largest = 0, in_flight = 0, deepest = 0;
  std::map<const runner::KvCache*, std::vector<std::int32_t>> prompts;

 private:
  runner::Model& model_;
};

class GenerationTest : public testing::Test {
 protected:
  void SetUp() override {
    std::ifstream stream(std::string(GLM_SOURCE_DIR) + "/models/glm-tiny/config.json");
    std::stringstream text;
    text << stream.rdbuf();
    auto subject = Subject::from_config("tiny", "glm-tiny", text.str(), 0);
    ASSERT_TRUE(subject.ok()) << subject.error().message;
    auto model = subject->load({});
    ASSERT_TRUE(model.ok()) << model.error().message;
    model_ = std::move(model).value();
    pool_ = std::move(model_->make_pool(12)).value();
  }

  std::unique_ptr<runner::Model> model_;
  std::unique_ptr<runner::KvPool> pool_;
};

TEST_F(GenerationTest, AsksForEveryTokenOnceToWarmUpAndOnceForTheClock) {
  CountingModel counting(*model_);
  Generation generation(counting, *pool_, {.temperature = 1, .seed = 3, .warm_whole = true});
  const RowShape shape{.context = 50, .prompt = 70, .generate = 9, .sequences = 3};
  const auto times = generation.run(shape);
  ASSERT_TRUE(times.ok()) << times.error().message;
  EXPECT_GT(times->prompt_s, 0);
  EXPECT_GT(times->generate_s, 0);
  EXPECT_EQ(counting.prompt_tokens, 3 * (50 + 70 + 70));
  EXPECT_EQ(counting.decoded, 3 * (9 + 9));
  EXPECT_EQ(counting.longest, shape.tokens_each());
  EXPECT_EQ(counting.largest, 3u);
  EXPECT_EQ(counting.deepest, runner::kStepsInFlightMax);
  EXPECT_EQ(counting.in_flight, 0u);
  EXPECT_EQ(pool_->pages_free(), pool_->pages());
  // No two sequences, and no two prompts of one, are alike.
  std::set<std::vector<std::int32_t>> different;
  for (const auto& [cache, tokens] : counting.prompts) {
    ASSERT_EQ(tokens.size(), 190u);
    different.insert({tokens.begin() + 50, tokens.begin() + 120});
    different.insert({tokens.begin() + 120, tokens.end()});
  }
  EXPECT_EQ(different.size(), 6u);
}

TEST_F(GenerationTest, WarmsUpShortlyWhereNothingIsRecorded) {
  CountingModel counting(*model_);
  Generation generation(counting, *pool_, {.temperature = 0, .seed = 3, .warm_whole = false});
  ASSERT_TRUE(generation.run({.prompt = 5, .generate = 4, .sequences = 2}).ok());
  EXPECT_EQ(counting.decoded, 2 * (1 + 4));
  EXPECT_EQ(counting.prompt_tokens, 2 * (1 + 5));
}

TEST_F(GenerationTest, SaysWhenThePagesDoNotHoldTheRow) {
  Generation generation(*model_, *pool_, {});
  const auto times = generation.run({.prompt = 700, .generate = 200, .sequences = 1});
  ASSERT_FALSE(times.ok());
  EXPECT_EQ(times.error().code, Errc::exhausted);
}

}  // namespace
}  // namespace glm::bench
