// Contract: kernels/ops/ceilings.h.
#include <atomic>
#include <cstring>

#include "kernels/cpu/ops.h"

namespace glm::kernels::cpu {
namespace {

// Sums of their own, so that a processor has several loads under way.
constexpr std::size_t kSums = 16;

std::uint32_t sum_of(const std::uint32_t* words, std::size_t count) {
  std::uint32_t sums[kSums] = {};
  std::size_t i = 0;
  for (; i + kSums <= count; i += kSums) {
    for (std::size_t k = 0; k < kSums; ++k) sums[k] += words[i + k];
  }
  std::uint32_t sum = 0;
  for (; i < count; ++i) sum += words[i];
  for (const std::uint32_t part : sums) sum += part;
  return sum;
}

// Products of f32 in as many chains as hide how long one takes.
float multiply_chains(std::int64_t rounds, float start) {
  constexpr std::size_t kChains = 32;
  float chains[kChains];
  for (std::size_t k = 0; k < kChains; ++k) chains[k] = start + static_cast<float>(k);
  for (std::int64_t i = 0; i < rounds; ++i) {
    for (float& chain : chains) chain = chain * 0.999F + 0.5F;
  }
  float sum = 0;
  for (const float chain : chains) sum += chain;
  return sum;
}

}  // namespace

void read_memory(ThreadPool& pool, const ReadMemory& a) {
  check(a);
  constexpr std::int64_t kGrainWords = 1 << 18;
  const auto* words = static_cast<const std::uint32_t*>(a.data);
  const auto count = static_cast<std::int64_t>(a.size_bytes / sizeof(std::uint32_t));
  std::atomic<std::uint32_t> sum = 0;
  pool.for_ranges(count, kGrainWords, count, [&](std::int64_t first, std::int64_t end) {
    sum += sum_of(words + first, static_cast<std::size_t>(end - first));
  });
  *a.out = sum;
}

void multiply(ThreadPool& pool, const Multiply& a) {
  check(a);
  constexpr std::int64_t kTasks = 64;
  constexpr std::int64_t kRounds = 1 << 15;
  constexpr std::int64_t kOperations = kRounds * 32 * 2;
  std::atomic<std::uint64_t> done = 0;
  pool.for_ranges(kTasks, 1, kTasks * kOperations, [&](std::int64_t first, std::int64_t end) {
    for (std::int64_t i = first; i < end; ++i) {
      // The result decides, though it never is negative: so the products are needed.
      if (multiply_chains(kRounds, static_cast<float>(i)) >= 0) done += kOperations;
    }
  });
  *a.out = done;
}

}  // namespace glm::kernels::cpu
