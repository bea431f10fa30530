// The attention of mla_decode.cu: scores and values of a block's rows, and those of all blocks as
// one.
#pragma once

#include "kernels/cuda/mla_decode_block.cuh"
#include "kernels/device/cluster.cuh"

namespace glm::kernels::cuda::mla_decode {

// Heads of the cluster are columns of products by turns, so that every lane has sums of all of
// them: of a tile's row lane / 4 at [head], of the one eight further at [2 + head].
__device__ inline int own_head_of_lane() {
  return lane_of() / 4 % kHeads;
}
// Of a tile's four numbers lane % 4 has the one of that number.
__device__ inline float own_of(const float (&four)[4]) {
  const float low = lane_of() % 2 == 0 ? four[0] : four[1];
  const float high = lane_of() % 2 == 0 ? four[2] : four[3];
  return lane_of() % 4 < 2 ? low : high;
}

// A piece of rows for tensor cores, as they lie or across: zeros where there are none.
template <bool kAcross>
__device__ inline void load_rows(std::uint32_t (&to)[4], bool there, std::uint32_t at) {
  to[0] = to[1] = to[2] = to[3] = 0;
  if (!there) return;
  if constexpr (kAcross) {
    device::load_matrices_transposed(to, at);
  } else {
    device::load_matrices(to, at);
  }
}

// The scores of a chunk's rows, in parts: a warp has some columns of all rows.
__device__ inline void score(Shared& shared, std::uint32_t tile, int rows) {
  const int split = warp_of();
  if (split >= kSplits) return;
  const auto* q = reinterpret_cast<const std::uint32_t*>(shared.absorbed[own_head_of_lane()] +
                                                         split * kSteps * 16) +
                  lane_of() % 4;
  std::uint32_t inputs[kSteps][2];
#pragma unroll
  for (int step = 0; step < kSteps; ++step) {
    inputs[step][0] = q[step * 8];
    inputs[step][1] = q[step * 8 + 4];
  }
  const std::uint32_t keys_at =
      tile + static_cast<std::uint32_t>(lane_of() % 16 * kPitch + split * kSteps * 32 +
                                        lane_of() / 16 * 16);
  std::uint32_t keys[kRowTiles][kSteps][4];
#pragma unroll
  for (int t = 0; t < kRowTiles; ++t) {
#pragma unroll
    for (int step = 0; step < kSteps; ++step) {
      load_rows<false>(keys[t][step], t * 16 < rows, keys_at + t * 16 * kPitch + step * 32);
    }
  }
  float* const to =
      &shared.sums.scores[split][lane_of() % 2][lane_of() / 4 + lane_of() / 2 % 2 * 8];
#pragma unroll
  for (int t = 0; t < kRowTiles; ++t) {
    float sums[4] = {};
#pragma unroll
    for (int step = 0; step < kSteps; ++step) {
      device::mma_16x8x16(sums, keys[t][step], inputs[step][0], inputs[step][1]);
    }
    to[t * 16] = own_of(sums);
  }
}

// As integers floats have the same order, negative ones but for their sign bit the reverse.
__device__ inline float warp_max(float value) {
  const auto turned = [](int bits) { return bits ^ (bits >> 31 & 0x7FFFFFFF); };
  return __int_as_float(turned(__reduce_max_sync(0xFFFFFFFFU, turned(__float_as_int(value)))));
}

// Weights of rows from their scores, of one head, by one warp.
class Softmax {
 public:
  __device__ void weigh(Shared& shared, int head, float scale_log2, int rows) {
    float s[kHeld];
    float most = highest_;
#pragma unroll
    for (int i = 0; i < kHeld; ++i) {
      const int row = i * kWarpThreads + lane_of();
      float sum = 0;
#pragma unroll
      for (const auto& part : shared.sums.scores) sum += part[head][row];
      s[i] = row < rows ? sum * scale_log2 : -INFINITY;
      most = fmaxf(most, s[i]);
    }
    most = warp_max(most);
    const float shrink = device::exp2_approx(highest_ - most);
    highest_ = most;
    sum_ *= shrink;
#pragma unroll
    for (int i = 0; i < kHeld; ++i) {
      const int row = i * kWarpThreads + lane_of();
      const float weight = device::exp2_approx(s[i] - most);
      sum_ += weight;
      if (row < kRows) device::store(&shared.weights[head][row], weight);
    }
    if (lane_of() == 0) shared.shrink[head] = shrink;
  }
  // To the blocks of the head.
  __device__ void send(Shared& shared, int head, int from) {
    const float sum = device::warp_sum(sum_);
    if (lane_of() >= kBlocks) return;
    const int block = head * kBlocks + lane_of();
    device::send_8(device::address_in(device::shared_address(&shared.said[from]), block),
                   {highest_, sum}, device::address_in(shared.barrier(kValuesCame), block));
  }

 private:
  static constexpr int kHeld = kRowsHeld / kWarpThreads;

  float highest_ = -INFINITY;
  float sum_ = 0;  // of this lane's positions
};

// What a block has found among its positions: values of kLatentTiles tensor-core tiles a warp, not
// divided by the sum.
class Found {
 public:
  // Adds the rows up, weighed.
  __device__ void add(const Shared& shared, std::uint32_t tile, int rows) {
    const float2 shrink = *reinterpret_cast<const float2*>(shared.shrink);
#pragma unroll
    for (float(&four)[4] : values_) {
      four[0] *= shrink.x;
      four[1] *= shrink.y;
      four[2] *= shrink.x;
      four[3] *= shrink.y;
    }
    const auto* weights_at =
        reinterpret_cast<const std::uint32_t*>(shared.weights[own_head_of_lane()]) + lane_of() % 4;
    // Latents come from shared memory a tile ahead of their product.
    const std::uint32_t from =
        tile +
        static_cast<std::uint32_t>((lane_of() / 16 * 8 + lane_of() % 8) * kPitch +
                                   lane_of() / 8 % 2 * 16) +
        warp_of() * kLatentTiles * 32;
    std::uint32_t latents[kRowTiles][kLatentTiles][4];
    std::uint32_t weights[kRowTiles][2];
#pragma unroll
    for (int t = 0; t < kRowTiles; ++t) {
      weights[t][0] = weights_at[t * 8];
      weights[t][1] = weights_at[t * 8 + 4];
#pragma unroll
      for (int m = 0; m < kLatentTiles; ++m) {
        load_rows<true>(latents[t][m], t * 16 < rows, from + t * 16 * kPitch + m * 32);
      }
    }
#pragma unroll
    for (int t = 0; t < kRowTiles; ++t) {
#pragma unroll
      for (int m = 0; m < kLatentTiles; ++m) {
        device::mma_16x8x16(values_[m], latents[t][m], weights[t][0], weights[t][1]);
      }
    }
  }
  // To the blocks of each head. A warp has 32 latents, neighbours.
  __device__ void send(Shared& shared, int from) {
    const int first = warp_of() * kLatentTiles * 16;
#pragma unroll
    for (int m = 0; m < kLatentTiles; ++m) {
      float* const own = shared.sums.own[lane_of() % 2] + first + m * 16;
      own[lane_of() / 4 + lane_of() / 2 % 2 * 8] = own_of(values_[m]);
    }
    __syncwarp();
    const int quad = lane_of() % 8;
    const std::uint32_t to = device::shared_address(shared.values[from] + first + quad * 4);
    const std::uint32_t barrier = shared.barrier(kValuesCame);
#pragma unroll
    for (int head = 0; head < kHeads; ++head) {
      const int block = head * kBlocks + lane_of() / 8;
      const uint4 four = reinterpret_cast<const uint4*>(shared.sums.own[head] + first)[quad];
      device::send_16(device::address_in(to, block), four, device::address_in(barrier, block));
    }
  }

 private:
  static_assert(kLatentTiles * 16 == kWarpThreads && kWarpThreads == 8 * kBlocks);

  float values_[kLatentTiles][4] = {};
};

// What all blocks found, as one. A thread has a column.
__device__ inline void combine(Shared& shared) {
  const int column = static_cast<int>(threadIdx.x);
  float highest = -INFINITY;
#pragma unroll
  for (int b = 0; b < kClusterBlocks; ++b) highest = fmaxf(highest, shared.said[b].x);
  float sum = 0;
  float value = 0;
#pragma unroll
  for (int b = 0; b < kClusterBlocks; ++b) {
    const float share = device::exp2_approx(shared.said[b].x - highest);
    sum += share * shared.said[b].y;
    value += share * shared.values[b][column];
  }
  device::store(shared.mixed + column, __fdividef(value, sum));
}
static_assert(kThreads == kRank);

}  // namespace glm::kernels::cuda::mla_decode
