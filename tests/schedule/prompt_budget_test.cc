#include "runner/schedule/prompt_budget.h"

#include <gtest/gtest.h>

namespace glm::runner {
namespace {

using std::chrono::milliseconds;

PromptBudgetLimits limits() {
  return {.tokens_min = 64, .tokens_max = 512, .step = milliseconds(50)};
}

TEST(PromptBudget, IsAllThatFitsWhileNobodySpeaks) {
  PromptBudget budget(limits());
  EXPECT_EQ(budget.tokens(false), 512);
  EXPECT_EQ(budget.tokens(true), 64) << "nothing is known yet";
}

TEST(PromptBudget, FillsAStepUpToItsTime) {
  PromptBudget budget(limits());
  for (int i = 0; i < 50; ++i) {
    budget.measured(0, milliseconds(10));
    budget.measured(200, milliseconds(30));  // 0.1 ms a token
  }
  EXPECT_NEAR(static_cast<double>(budget.tokens(true)), 400, 2);
  EXPECT_EQ(budget.tokens(false), 512);
}

TEST(PromptBudget, LetsPromptsGoOnWhereStepsTakeLongAnyway) {
  PromptBudget budget(limits());
  for (int i = 0; i < 50; ++i) budget.measured(0, milliseconds(80));
  budget.measured(64, milliseconds(70));
  EXPECT_EQ(budget.tokens(true), 64);
}

TEST(PromptBudget, FollowsAStepThatBecomesFaster) {
  PromptBudget budget(limits());
  for (int i = 0; i < 50; ++i) budget.measured(64, milliseconds(64));
  EXPECT_EQ(budget.tokens(true), 64);
  for (int i = 0; i < 50; ++i) budget.measured(64, milliseconds(1));
  EXPECT_EQ(budget.tokens(true), 512);
}

}  // namespace
}  // namespace glm::runner
