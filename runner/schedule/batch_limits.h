// What one step of a model may hold. Activations are sized for it once.
#pragma once

#include <cstddef>
#include <cstdint>

namespace glm::runner {

struct BatchLimits {
  std::int64_t tokens_max = 0;
  std::int64_t sequences_max = 0;
};

inline constexpr BatchLimits kCpuBatch{.tokens_max = 512, .sequences_max = 256};
// With 2,048 tokens an expert of 64, four a token, has 128 rows, and weights are read a quarter as
// often. The memory for them is a few hundred megabytes.
inline constexpr BatchLimits kGpuBatch{.tokens_max = 2048, .sequences_max = 256};
constexpr BatchLimits batch_limits_of(bool gpu) {
  return gpu ? kGpuBatch : kCpuBatch;
}

// Of a prompt, in one step of a CPU: its prompts are always cut at the same places. A GPU's are cut
// where it suits.
inline constexpr std::int64_t kPromptChunkTokens = 256;

// Steps of different shapes that a GPU has written down at a time.
inline constexpr std::size_t kRecordedStepsMax = 64;

}  // namespace glm::runner
