// What the kernels of moe_front.h do with their outputs: they add the residual, and then, as the
// router is linear, their part of all logits.
//
//   sum[t, o]    = residual[t, o] + projection[t, o]
//   scores[t, e] = sum over o of sum[t, o] * norm[o] * router[e, o], and after them the sum of
//                  squares of sum[t, :]
//
// of which moe_layer.cu makes logits. Blocks add in any order:
// to integers, so that it does not matter.
#pragma once

#include "kernels/cuda/moe_workspace.h"
#include "kernels/device/numbers.cuh"
#include "kernels/device/weight_fetch.cuh"

namespace glm::kernels::cuda {

constexpr int kFrontOutputs = 16;  // of a block
constexpr int kFrontRows = kMoeScoredTokens;
constexpr int kFrontThreads = 256;
constexpr int kFrontExpertsMax = 512;
constexpr int kFrontBlocksMax = 511;  // no sum of so many overflows

struct Front {
  const __nv_bfloat16* residual;
  const __nv_bfloat16* norm;
  __nv_bfloat16* sum;
  MoeScore* scores;
  device::Weight router;
  std::int64_t residual_stride;
  std::int64_t sum_stride;
  int experts;

  std::size_t shared_bytes() const {
    return static_cast<std::size_t>(kFrontOutputs * experts) * sizeof(float);
  }
};

// Sixteen outputs of all rows, one thread for each.
class FrontBlock {
 public:
  struct Sums {
    float plain[kFrontRows][kFrontOutputs];
    float weighted[kFrontRows][kFrontOutputs];  // by the norm
  };

  // `router` are Front::shared_bytes() of shared memory. All threads; what they read depends on
  // nothing.
  __device__ FrontBlock(const Front& f, int rows, float* router)
      : f_(f), rows_(rows), router_(router) {
    load_router();
    norm_ = device::load(f.norm + first_output() + output());
  }
  // Of this thread.
  __device__ int row() const { return static_cast<int>(threadIdx.x) / kFrontOutputs; }
  __device__ int output() const { return static_cast<int>(threadIdx.x) % kFrontOutputs; }

  // When kernels in front have ended.
  __device__ void read_residual() {
    if (row() >= rows_) return;
    residual_ = device::load(f_.residual + row() * f_.residual_stride + first_output() + output());
  }
  // `value` is what the projection gives.
  __device__ void take(float value, Sums& sums) const {
    const float sum =
        device::rounded<__nv_bfloat16>(device::rounded<__nv_bfloat16>(value) + residual_);
    device::store(f_.sum + row() * f_.sum_stride + first_output() + output(), sum);
    sums.plain[row()][output()] = sum;
    sums.weighted[row()][output()] = sum * norm_;
  }
  // All threads, when all have been taken.
  __device__ void add_scores(const Sums& sums) const {
    const int scores = f_.experts + kMoeSquares;
    int row = 0;
    int e = static_cast<int>(threadIdx.x);
    while (true) {
      for (; e >= scores; e -= scores) ++row;
      if (row >= rows_) break;
      const bool squares = e == f_.experts;
      const float* one = squares ? sums.plain[row] : sums.weighted[row];
      const float* other = squares ? one : router_ + e;
      const int step = squares ? 1 : f_.experts;
      float score = 0;
#pragma unroll
      for (int o = 0; o < kFrontOutputs; ++o) score += one[o] * other[o * step];
      add(f_.scores + row * scores + e, score, squares);
      e += kFrontThreads;
    }
  }

 private:
  // Of what a block adds, in units: no sum of all blocks overflows, and no number that means
  // something comes near.
  static constexpr float kMost = 1LL << 54U;

  __device__ static std::int64_t first_output() {
    return static_cast<std::int64_t>(blockIdx.x) * kFrontOutputs;
  }
  __device__ static void add(MoeScore* score, float value, bool squares) {
    const float units = value * (squares ? 1.0F / kMoeSquaresUnit : 1.0F / kMoeScoreUnit);
    // Of no number, any.
    atomicAdd(score, static_cast<MoeScore>(__float2ll_rn(fminf(fmaxf(units, -kMost), kMost))));
  }
  // The columns of this block's outputs, as [output, expert].
  __device__ void load_router() const {
    constexpr int kOctet = 8;
#pragma unroll 1
    for (int half = 0; half < kFrontOutputs / kOctet; ++half) {
#pragma unroll 1
      for (int e = static_cast<int>(threadIdx.x); e < f_.experts; e += kFrontThreads) {
        const std::int64_t column = first_output() + half * kOctet;
        const std::uint8_t* row = f_.router.data + e * f_.router.row_bytes;
        float* to = router_ + half * kOctet * f_.experts + e;
        if (f_.router.coding == device::Coding::f32) {
          const auto* from = reinterpret_cast<const float4*>(row) + column / 4;
          const float4 four[2] = {__ldg(from), __ldg(from + 1)};
#pragma unroll
          for (int i = 0; i < 2; ++i) {
            to[(4 * i) * f_.experts] = four[i].x;
            to[(4 * i + 1) * f_.experts] = four[i].y;
            to[(4 * i + 2) * f_.experts] = four[i].z;
            to[(4 * i + 3) * f_.experts] = four[i].w;
          }
        } else {
          const uint4 octet = __ldg(reinterpret_cast<const uint4*>(row) + column / kOctet);
#pragma unroll
          for (int i = 0; i < kOctet; ++i) {
            const std::uint32_t word = device::word_of(octet, i / 2);
            to[i * f_.experts] = __uint_as_float(i % 2 == 0 ? word << 16U : word & 0xFFFF0000U);
          }
        }
      }
    }
  }

  const Front& f_;
  int rows_;
  float* router_;
  float norm_ = 0;
  float residual_ = 0;
};

}  // namespace glm::kernels::cuda
