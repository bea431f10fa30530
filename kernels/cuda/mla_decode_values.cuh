// The attention of mla_decode.cu: scores and values of a block's rows, and those of all blocks as
// one.
#pragma once

#include "kernels/cuda/mla_decode_block.cuh"
#include "kernels/device/cluster.cuh"

namespace glm::kernels::cuda::mla_decode {

// What a block has found among its positions: values of kLatentTiles tensor-core tiles a warp, not
// divided by the sum.
class Found {
 public:
  // The scores of a chunk's rows, in parts.
  __device__ static void score(Shared& shared, std::uint32_t tile, int row_tiles) {
#pragma unroll 1
    for (int unit = warp_of(); unit < row_tiles * kSplits; unit += kWarps) {
      const int row_tile = unit / kSplits;
      const int split = unit % kSplits;
      float sums[2][4] = {};
      const std::uint32_t keys_at =
          tile + static_cast<std::uint32_t>((row_tile * 16 + lane_of() % 16) * kPitch +
                                            split * kSteps * 32 + lane_of() / 16 * 16);
      const auto* q = reinterpret_cast<const std::uint32_t*>(shared.absorbed + split * kSteps * 16);
#pragma unroll
      for (int step = 0; step < kSteps; ++step) {
        std::uint32_t keys[4];
        device::load_matrices(keys, keys_at + step * 32);
        std::uint32_t inputs[2] = {};
        if (has_token()) {
          inputs[0] = q[step * 8 + lane_of()];
          inputs[1] = q[step * 8 + lane_of() + 4];
        }
        device::mma_16x8x16(sums[step % 2], keys, inputs[0], inputs[1]);
      }
      if (lane_of() % 4 == 0) {
        float* to = &shared.scores[split][row_tile * 16 + lane_of() / 4];
        to[0] = sums[0][0] + sums[1][0];
        to[8] = sums[0][2] + sums[1][2];
      }
    }
  }
  // Weighs the rows and adds them up. Every warp finds the same weights for itself.
  __device__ void add(const Shared& shared, float scale_log2, std::uint32_t tile, int rows) {
    float s[kHeld];
    float most = highest_;
#pragma unroll
    for (int i = 0; i < kHeld; ++i) {
      const int row = i * kWarpThreads + lane_of();
      s[i] = -INFINITY;
      if (row < rows) {
        s[i] = 0;
#pragma unroll
        for (int split = 0; split < kSplits; ++split) s[i] += shared.scores[split][row];
        s[i] *= scale_log2;
      }
      most = fmaxf(most, s[i]);
    }
#pragma unroll
    for (int offset = kWarpThreads / 2; offset > 0; offset /= 2) {
      most = fmaxf(most, __shfl_xor_sync(0xFFFFFFFFU, most, offset));
    }
    const float shrink = device::exp2_approx(highest_ - most);
    highest_ = most;
    sum_ *= shrink;
#pragma unroll
    for (float& one : s) {
      one = device::exp2_approx(one - most);
      sum_ += one;
    }
#pragma unroll
    for (float(&two)[4] : values_) {
      two[0] *= shrink;
      two[2] *= shrink;
    }
#pragma unroll
    for (int t = 0; t < kRowTiles; ++t) {
      if (t * 16 >= rows) break;
      std::uint32_t weights[2];
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int at = t % 2 * 16 + 2 * (lane_of() % 4) + 8 * half;
        const float first = __shfl_sync(0xFFFFFFFFU, s[t / 2], at);
        const float second = __shfl_sync(0xFFFFFFFFU, s[t / 2], at + 1);
        weights[half] = has_token() ? device::bf16_pair(first, second) : 0;
      }
      const std::uint32_t from =
          tile + static_cast<std::uint32_t>((t * 16 + lane_of() / 16 * 8 + lane_of() % 8) * kPitch +
                                            lane_of() / 8 % 2 * 16);
#pragma unroll
      for (int m = 0; m < kLatentTiles; ++m) {
        std::uint32_t latents[4];
        device::load_matrices_transposed(latents, from + (warp_of() * kLatentTiles + m) * 32);
        device::mma_16x8x16(values_[m], latents, weights[0], weights[1]);
      }
    }
  }
  // To all blocks. A warp has 32 latents, neighbours.
  __device__ void send(Shared& shared, int rank) {
    sum_ = device::warp_sum(sum_);
    float* own = shared.own + warp_of() * kLatentTiles * 16;
#pragma unroll
    for (int m = 0; m < kLatentTiles; ++m) leave_sums(own + m * 16, values_[m]);
    __syncwarp();
    const std::uint32_t barrier = shared.barrier(kValuesCame);
    const int quad = lane_of() % 8;
    const int block = lane_of() / 8;
    const float* to = shared.values[rank] + warp_of() * kLatentTiles * 16 + quad * 4;
    device::send_16(device::address_in(device::shared_address(to), block),
                    reinterpret_cast<const uint4*>(own)[quad], device::address_in(barrier, block));
    if (warp_of() == 0 && lane_of() < kBlocks) {
      device::send_8(device::address_in(device::shared_address(&shared.said[rank]), lane_of()),
                     {highest_, sum_}, device::address_in(barrier, lane_of()));
    }
  }

 private:
  static constexpr int kHeld = (kRows + kWarpThreads - 1) / kWarpThreads;
  static_assert(kLatentTiles * 16 == kWarpThreads && kWarpThreads == 8 * kBlocks);

  float highest_ = -INFINITY;
  float sum_ = 0;  // of this lane's positions
  float values_[kLatentTiles][4] = {};
};

// What all blocks found, as one. A thread has a column.
__device__ inline void combine(Shared& shared) {
  const int column = static_cast<int>(threadIdx.x);
  float highest = -INFINITY;
#pragma unroll
  for (int b = 0; b < kBlocks; ++b) highest = fmaxf(highest, shared.said[b].x);
  float sum = 0;
  float value = 0;
#pragma unroll
  for (int b = 0; b < kBlocks; ++b) {
    const float share = device::exp2_approx(shared.said[b].x - highest);
    sum += share * shared.said[b].y;
    value += share * shared.values[b][column];
  }
  device::store(shared.mixed + column, __fdividef(value, sum));
}
static_assert(kThreads == kRank);

}  // namespace glm::kernels::cuda::mla_decode
