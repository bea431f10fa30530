// What the engine is asked to do, in its own terms: token ids in, token ids out.
#pragma once

#include <cstdint>
#include <vector>

#include "runner/sample/sampler.h"

namespace glm::runner {

struct GenerateRequest {
  std::uint64_t id = 0;  // chosen by the daemon, unique for the life of the runner
  std::vector<std::int32_t> prompt;
  std::int64_t tokens_max = 0;  // generated tokens, at least 1
  std::vector<std::int32_t> stop_ids;
  SamplingOptions sampling;
};

enum class FinishReason : std::uint8_t {
  none,       // still running
  stop,       // a stop id was sampled (it is not among the tokens)
  length,     // tokens_max or the end of the context
  cancelled,  // as asked
  failed,     // see the error
};

}  // namespace glm::runner
