#include "kernels/cpu/ops.h"
#include "kernels/cpu/page_ids.h"

namespace glm::kernels::cpu {

void step_ids(ThreadPool& pool, const StepIds& a) {
  check(a);
  const auto* given = a.given.as<std::int32_t>();
  const auto* sequence = a.tokens.sequence.as<std::int32_t>();
  const auto* position = a.tokens.position.as<std::int32_t>();
  auto* ids = a.ids.as<std::int32_t>();
  for (std::int64_t t = 0; t < a.ids.size(0); ++t) {
    std::int32_t* cell = page_id(a.history, sequence[t], position[t]);
    if (given[t] >= 0) *cell = given[t];
    ids[t] = *cell;
  }
  if (a.rows) embedding(pool, a.embedding());
}

}  // namespace glm::kernels::cpu
