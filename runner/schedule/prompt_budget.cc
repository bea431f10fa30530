#include "runner/schedule/prompt_budget.h"

#include <algorithm>

namespace glm::runner {
namespace {

constexpr double kNewest = 0.2;  // how much of an average the last step is

void average(double& so_far, double value) {
  so_far = so_far == 0 ? value : so_far + kNewest * (value - so_far);
}

}  // namespace

std::int64_t PromptBudget::tokens(bool anyone_speaks) const {
  if (!anyone_speaks) return limits_.tokens_max;
  if (token_s_ <= 0) return limits_.tokens_min;
  const double left_s = std::max(limits_.step.count() - base_s_, 0.0);
  const double tokens = std::min(left_s / token_s_, static_cast<double>(limits_.tokens_max));
  return std::max(limits_.tokens_min, static_cast<std::int64_t>(tokens));
}

void PromptBudget::measured(std::int64_t prompt_tokens, std::chrono::duration<double> time) {
  const double s = time.count();
  if (prompt_tokens == 0) {
    average(base_s_, s);
  } else {
    average(token_s_, std::max(s - base_s_, s * 0.01) / static_cast<double>(prompt_tokens));
  }
}

}  // namespace glm::runner
