// The bytes of a step against sums by hand: those of cyankiwi's GLM-4.7-Flash are published
// figures.
#include "cmd/bench/step_bytes.h"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "runner/checkpoint/synthetic.h"

namespace glm::bench {
namespace {

runner::ModelFacts facts_of(const std::string& layout) {
  std::ifstream stream(std::string(GLM_SOURCE_DIR) + "/" + layout);
  std::stringstream text;
  text << stream.rdbuf();
  auto synthetic = runner::synthesize(text.str());
  EXPECT_TRUE(synthetic.ok()) << synthetic.error().message;
  return std::move(synthetic->facts);
}

const char* const kFlash = "modelfiles/layouts/cyankiwi/GLM-4.7-Flash-AWQ-4bit.json";

TEST(StepBytes, OfOneTokenAreThoseOfItsExpertsAndAllElse) {
  const StepBytes bytes = bytes_of_step(facts_of(kFlash), {.sequences = 1});
  // Of each of 46 layers 21.2 MB of experts in int4, 18.9 of the shared one in bf16, 12.2 of
  // attention and 0.3 of the router; layer 0 has 169 MB, the head 634.
  EXPECT_NEAR(bytes.weights, 46 * 52.6e6 + 169e6 + 634e6, 0.01e9);
  EXPECT_EQ(bytes.cache, 0);
  EXPECT_DOUBLE_EQ(bytes.experts, 4);
}

TEST(StepBytes, OfManyTokensHaveTheExpertsThatEvenChoiceNeeds) {
  const runner::ModelFacts facts = facts_of(kFlash);
  EXPECT_NEAR(bytes_of_step(facts, {.sequences = 8}).experts, 25.8, 0.05);
  EXPECT_NEAR(bytes_of_step(facts, {.sequences = 64}).experts, 63.0, 0.05);
  const double one = bytes_of_step(facts, {.sequences = 1}).weights;
  const double many = bytes_of_step(facts, {.sequences = 64}).weights;
  EXPECT_NEAR(many - one, 46 * (62.97 - 4) * 5.31e6, 0.02e9);
}

TEST(StepBytes, CountWhatTheCacheHolds) {
  const StepBytes bytes =
      bytes_of_step(facts_of(kFlash), {.sequences = 3, .context = 100.5, .token_bytes = 54'144});
  EXPECT_DOUBLE_EQ(bytes.cache, 3 * 100.5 * 54'144);
  EXPECT_DOUBLE_EQ(bytes.all(), bytes.weights + bytes.cache);
}

}  // namespace
}  // namespace glm::bench
