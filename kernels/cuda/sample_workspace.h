// What the kernels of one sample operation tell each other, in device memory.
#pragma once

#include <cstdint>

namespace glm::kernels::cuda {

// The vocabulary of a row is worked off in pieces of so many ids, side by side.
constexpr int kSampleChunk = 4096;

constexpr std::int64_t sample_chunks(std::int64_t vocab) {
  return (vocab + kSampleChunk - 1) / kSampleChunk;
}

// What a piece of a row comes to.
struct SamplePart {
  double score;       // the best of the piece, and whose it is
  std::int32_t id;    // -1: the piece has no ids
  float highest;      // of the adjusted logits
  float lowest;       // of those that are not -infinity; +infinity: all are
  float raw_highest;  // of the logits as they came
  std::int32_t finite;
};

// How the keys of a row are spread over its range, and their masses.
constexpr int kSampleBins = 2048;
struct SampleBins {
  unsigned long long masses[kSampleBins];
  std::uint32_t counts[kSampleBins];
};

struct SampleWorkspace {
  SamplePart* parts = nullptr;  // [rows, chunks]
  SampleBins* bins = nullptr;   // [rows]
  float* adjusted = nullptr;    // [rows, vocab]; of rows with filters, where bias or penalties act
};

}  // namespace glm::kernels::cuda
