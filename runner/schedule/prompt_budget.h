// How many tokens of prompts a step may carry, so that those who speak do not wait for longer than
// a step should take: learnt from what steps took.
//
//   time of a step = time without prompts + prompt tokens * time of one
//
// Both are running averages. Nobody waits while nobody speaks, so then it is as much as fits.
//
// Thread safety: none.
#pragma once

#include <chrono>
#include <cstdint>

namespace glm::runner {

struct PromptBudgetLimits {
  std::int64_t tokens_min = 64;  // so that prompts go on whatever a step takes
  std::int64_t tokens_max = 512;
  std::chrono::duration<double> step{0.05};  // that a step should take at most
};

class PromptBudget {
 public:
  explicit PromptBudget(PromptBudgetLimits limits) : limits_(limits) {}

  std::int64_t tokens(bool anyone_speaks) const;

  // What a step with `prompt_tokens` of them took.
  void measured(std::int64_t prompt_tokens, std::chrono::duration<double> time);

 private:
  PromptBudgetLimits limits_;
  double base_s_ = 0;   // 0: not known yet
  double token_s_ = 0;  // likewise
};

}  // namespace glm::runner
