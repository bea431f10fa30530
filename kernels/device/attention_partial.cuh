// Results of the splits of one token, in the workspace: values [token, split, head, value_dim]
// already divided by their own sums, and for each the base-2 logarithm of that sum
// [token, split, head]. Splits that saw nothing come last: they have -infinity there, and their
// values are not written.
#pragma once

#include <cstdint>

#include "kernels/device/attention_source.cuh"
#include "kernels/device/mma.cuh"

namespace glm::kernels::device {

struct AttentionPartial {
  float* values;
  float* log_sums;
  int splits;
  int heads;
  int value_dim;

  // What a block computed for one row, f32 or, where nothing is split, the result itself.
  __device__ void store(const AttentionHeads& to, int token, int split, int head, int column,
                        float first, float second) const {
    if (splits == 1) {
      *reinterpret_cast<std::uint32_t*>(to.result(token, head) + column) = bf16_pair(first, second);
    } else {
      *reinterpret_cast<float2*>(value(token, split, head) + column) = {first, second};
    }
  }
  __device__ void store_nothing(int token, int split, int first_head, int head_count) const {
    const int row = static_cast<int>(threadIdx.x);
    if (row < head_count) log_sum(token, split, first_head + row) = -INFINITY;
  }
  __device__ std::int64_t index(int token, int split, int head) const {
    return (static_cast<std::int64_t>(token) * splits + split) * heads + head;
  }
  __device__ float* value(int token, int split, int head) const {
    return values + index(token, split, head) * value_dim;
  }
  __device__ float& log_sum(int token, int split, int head) const {
    return log_sums[index(token, split, head)];
  }
};

}  // namespace glm::kernels::device
