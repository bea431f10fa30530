#include "runner/smoke_test.h"

#include <algorithm>
#include <vector>

namespace glm::runner {

Status smoke_test(Model& model, KvPool& pool) {
  constexpr std::int64_t kTokens = 4;
  KvCache cache(pool);
  const std::int32_t last_id = std::min<std::int32_t>(model.facts().vocab_size, 64) - 1;
  std::vector<std::int32_t> prompt;
  for (std::int32_t i = 0; i < kTokens; ++i) prompt.push_back(std::min(i, last_id));
  SamplingOptions greedy;
  greedy.temperature = 0;
  SequenceStep step{.tokens = prompt, .cache = &cache, .sampling = &greedy};
  for (std::int64_t i = 0; i < kTokens; ++i) {
    GLM_TRY(cache.reserve(step.count() + 1).with("smoke test"));
    GLM_TRY(model.submit({&step, 1}).with("smoke test"));
    const std::span<const Sampled> sampled = GLM_TRY(model.collect().with("smoke test"));
    if (sampled.front().finite != 1) {
      return make_error(Errc::corrupt, "smoke test: the model computed logits that are not finite");
    }
    step = {.cache = &cache, .continues = true, .sampling = &greedy};
  }
  return Ok{};
}

}  // namespace glm::runner
