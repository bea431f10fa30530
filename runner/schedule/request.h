// What the engine is asked to do, in its own terms: token ids in, token ids out.
#pragma once

#include <cstdint>
#include <vector>

#include "runner/sample/sampling_options.h"

namespace glm::runner {

// With tokens_min they are banned by biases, beside those the request has: together at most
// kTokenBiasesMax.
inline constexpr std::size_t kStopIdsMax = 64;

struct GenerateRequest {
  std::uint64_t id = 0;  // chosen by the daemon, unique for the life of the runner
  std::vector<std::int32_t> prompt;
  std::int64_t tokens_max = 0;         // generated tokens, at least 1
  std::int64_t tokens_min = 0;         // no stop id comes before so many tokens
  std::vector<std::int32_t> stop_ids;  // at most kStopIdsMax
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
