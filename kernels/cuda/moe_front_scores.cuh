// What the kernels of moe_front.h do with their outputs: they add the residual, and then, as the
// router is linear, their part of all logits.
//
//   sum[t, o]    = residual[t, o] + projection[t, o]
//   scores[t, e] = sum over o of sum[t, o] * norm[o] * router[e, o], and after them the sum of
//                  squares of sum[t, :]
//
// of which moe_layer.cu and moe_columns.cu make logits. Blocks add in any order: to integers, so
// that it does not matter.
#pragma once

#include "kernels/cuda/moe_workspace.h"
#include "kernels/device/numbers.cuh"
#include "kernels/device/octet.cuh"
#include "kernels/device/weight_fetch.cuh"

namespace glm::kernels::cuda {

constexpr int kFrontRows = kMoeScoredTokens;
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
  int outputs;  // of all blocks
};

// Some outputs of all rows, one thread for each: octets of them.
template <int kOutputs, int kThreads>
class FrontBlock {
 public:
  static std::size_t shared_bytes(const Front& f) {
    return static_cast<std::size_t>(kOctets * f.experts) * (is_f32(f) ? 2 : 1) * sizeof(uint4);
  }
  // Of kRows rows.
  template <int kRows>
  struct Sums {
    static_assert(kRows * kOutputs <= kThreads);
    float plain[kRows][kOutputs];
    float weighted[kRows][kOutputs];  // by the norm
  };

  // `router` are shared_bytes() of shared memory. All threads; what they read depends on
  // nothing.
  __device__ FrontBlock(const Front& f, int rows, void* router)
      : f_(f), rows_(rows), router_(static_cast<uint4*>(router)) {
    load_router();
    if (is_there()) norm_ = device::load(f.norm + first_output() + output());
  }
  // Of this thread.
  __device__ int row() const { return static_cast<int>(threadIdx.x) / kOutputs; }
  __device__ int output() const { return static_cast<int>(threadIdx.x) % kOutputs; }

  // When kernels in front have ended.
  __device__ void read_residual() {
    if (row() >= rows_ || !is_there()) return;
    residual_ = device::load(f_.residual + row() * f_.residual_stride + first_output() + output());
  }
  // `value` is what the projection gives.
  template <class AllSums>
  __device__ void take(float value, AllSums& sums) const {
    const float sum =
        device::rounded<__nv_bfloat16>(device::rounded<__nv_bfloat16>(value) + residual_);
    device::store(f_.sum + row() * f_.sum_stride + first_output() + output(), sum);
    sums.plain[row()][output()] = sum;
    sums.weighted[row()][output()] = sum * norm_;
  }
  // All threads, when all have been taken.
  template <class AllSums>
  __device__ void add_scores(const AllSums& sums) const {
    const int octets = min(kOutputs, f_.outputs - static_cast<int>(first_output())) / kOctet;
    const int scores = f_.experts + kMoeSquares;
    int row = 0;
    int e = static_cast<int>(threadIdx.x);
    while (true) {
      for (; e >= scores; e -= scores) ++row;
      if (row >= rows_) break;
      const bool squares = e == f_.experts;
      const float* one = squares ? sums.plain[row] : sums.weighted[row];
      float score = 0;
#pragma unroll 1
      for (int octet = 0; octet < octets; ++octet, one += kOctet) {
        float other[kOctet];
        if (!squares) read_router(octet, e, other);
#pragma unroll
        for (int i = 0; i < kOctet; ++i) score += one[i] * (squares ? one[i] : other[i]);
      }
      add(f_.scores + row * scores + e, score, squares);
      e += kThreads;
    }
  }

 private:
  static constexpr int kOctet = device::kOctet;
  static constexpr int kOctets = kOutputs / kOctet;
  static_assert(kOutputs % kOctet == 0);

  __host__ __device__ static bool is_f32(const Front& f) {
    return f.router.coding == device::Coding::f32;
  }
  // Of what a block adds, in units: no sum of all blocks overflows, and no number that means
  // something comes near.
  static constexpr float kMost = 1LL << 54U;

  __device__ static std::int64_t first_output() {
    return static_cast<std::int64_t>(blockIdx.x) * kOutputs;
  }
  __device__ bool is_there() const {
    return first_output() + output() < f_.outputs;
  }
  __device__ static void add(MoeScore* score, float value, bool squares) {
    const float units = value * (squares ? 1.0F / kMoeSquaresUnit : 1.0F / kMoeScoreUnit);
    // Of no number, any.
    atomicAdd(score, static_cast<MoeScore>(__float2ll_rn(fminf(fmaxf(units, -kMost), kMost))));
  }
  // The columns of this block's outputs: an octet of each expert after the other; of f32 the first
  // halves of all octets, and then the others.
  __device__ void load_router() const {
    const int all = kOctets * f_.experts;
#pragma unroll 1
    for (int i = static_cast<int>(threadIdx.x); i < all; i += kThreads) {
      const int octet = i / f_.experts;
      const std::int64_t column = first_output() + octet * kOctet;
      if (column >= f_.outputs) break;
      const std::uint8_t* row = f_.router.data + (i - octet * f_.experts) * f_.router.row_bytes;
      if (is_f32(f_)) {
        const auto* from = reinterpret_cast<const uint4*>(row) + column / 4;
        router_[i] = __ldg(from);
        router_[all + i] = __ldg(from + 1);
      } else {
        router_[i] = __ldg(reinterpret_cast<const uint4*>(row) + column / kOctet);
      }
    }
  }
  __device__ void read_router(int octet, int expert, float (&to)[kOctet]) const {
    const uint4* from = router_ + octet * f_.experts + expert;
    const uint4 first = *from;
    if (is_f32(f_)) {
      const uint4 second = from[kOctets * f_.experts];
      const std::uint32_t words[kOctet] = {first.x,  first.y,  first.z,  first.w,
                                           second.x, second.y, second.z, second.w};
#pragma unroll
      for (int i = 0; i < kOctet; ++i) to[i] = __uint_as_float(words[i]);
    } else {
#pragma unroll
      for (int i = 0; i < kOctet; ++i) to[i] = device::octet_at(first, i);
    }
  }

  const Front& f_;
  int rows_;
  uint4* router_;
  float norm_ = 0;
  float residual_ = 0;
};

}  // namespace glm::kernels::cuda
