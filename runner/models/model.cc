#include "runner/models/model.h"

#include <algorithm>

namespace glm::runner {

Status run_tokens(Model& model, KvCache& cache, std::span<const std::int32_t> tokens,
                  std::span<float> logits) {
  const auto longest = static_cast<std::size_t>(model.batch_limits().tokens_max);
  while (tokens.size() > longest) {
    const SequenceStep step{.tokens = tokens.first(longest), .cache = &cache};
    GLM_TRY(model.forward({&step, 1}, {}));
    tokens = tokens.subspan(longest);
  }
  const SequenceStep step{.tokens = tokens, .cache = &cache, .wants_logits = !logits.empty()};
  return model.forward({&step, 1}, logits);
}

}  // namespace glm::runner
