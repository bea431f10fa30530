// What the kernels of one sample operation tell each other, in device memory.
#pragma once

#include <cstdint>

namespace glm::kernels::cuda {

// The vocabulary of a row is worked off in pieces of so many ids, side by side.
constexpr int kSampleChunk = 4096;

constexpr std::int64_t sample_chunks(std::int64_t vocab) {
  return (vocab + kSampleChunk - 1) / kSampleChunk;
}
// Blocks that choose while they multiply (head_choice.cu) have a part each, which may be more. They
// do so on devices with up to so many.
constexpr std::int64_t sample_parts(std::int64_t vocab) {
  constexpr std::int64_t kBlocksMax = 256;
  return sample_chunks(vocab) > kBlocksMax ? sample_chunks(vocab) : kBlocksMax;
}

struct SampleBest {
  double score;
  std::int32_t id;  // -1: none
};

// What a piece of a row comes to.
struct SamplePart {
  SampleBest best;
  float highest;      // of the adjusted logits
  float lowest;       // of those that are not -infinity; +infinity: all are
  float raw_highest;  // of the logits as they came
  std::int32_t finite;
};

// How the keys of a row are spread over its range, and their masses; the largest come first.
constexpr int kSampleBins = 2048;
struct SampleBins {
  unsigned long long masses[kSampleBins];
  std::uint32_t counts[kSampleBins];
};

// Keys among which the last decision falls; nothing is missing if there are at most so many.
constexpr std::uint32_t kSampleListMax = 2048;
struct SampleList {
  unsigned long long above_count;  // of the keys that surely stay
  unsigned long long above_mass;
  unsigned long long all_mass;  // of the row
  std::uint32_t count;
  std::uint64_t keys[kSampleListMax];  // in no order
};

struct SampleWorkspace {
  SamplePart* parts = nullptr;  // [rows, sample_parts()]
  SampleBest* drawn = nullptr;  // [rows, chunks]; of the keys that surely stay
  SampleBins* bins = nullptr;   // [rows]
  SampleList* lists = nullptr;  // [rows]
  float* adjusted = nullptr;    // [rows, vocab]; of rows with filters, where bias or penalties act
};

}  // namespace glm::kernels::cuda
