// The second halves of moe_columns.cu and their sum.
#pragma once

#include "kernels/cuda/moe_columns_worker.cuh"

namespace glm::kernels::cuda {

// What is between the halves of all pairs, to where sums were.
__device__ inline void ColumnsWorker::load_halves() const {
  constexpr int kAtOnce = 3;
  const int all = b_.a.tokens * b_.a.rule.chosen * octets(b_.a.outer.inputs);
  const auto* from = reinterpret_cast<const uint4*>(b_.halves(0));
  auto* to = reinterpret_cast<uint4*>(sums());
#pragma unroll 1
  for (int first = static_cast<int>(threadIdx.x); first < all; first += kAtOnce * kColumnWorkers) {
    uint4 own[kAtOnce];
    const auto place = [&](int i) { return first + i * kColumnWorkers; };
    device::await(
        own, [&](int i) { return place(i) < all; }, [&](int i) { return from + place(i); });
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      if (place(i) < all) to[place(i)] = own[i];
    }
  }
}

// Its chunks are dealt out among the warps. `rehearsed`: one slab for nothing, so that the code has
// come when it matters.
__device__ inline void ColumnsWorker::second_half_of_experts(bool rehearsed) {
  const int row_octets = octets(b_.a.outer.inputs);
  const int chunks = row_octets / kOctetsPerChunk;
  const int entries = rehearsed ? 1 : r_.count;
  float total[2] = {};
  int chunk = warp_;
#pragma unroll 1
  for (int entry = 0; entry < entries; ++entry) {
    wait_for(next_);
    if (chunk < chunks) {
      const unsigned own = r_.pairs[entry][group_token()];
      uint4 x[4];
      float offset[4];
      load_groups(reinterpret_cast<const uint4*>(sums()) + static_cast<int>(own) * row_octets,
                  own != kNone && !rehearsed, chunk, x, offset);
      float rows[2];
      multiply_groups(b_.plan.outer, stage(next_), GroupsAt(b_.plan.outer, chunk), x, offset, rows);
      const unsigned pair = r_.pairs[entry][sum_token()];
      if (pair != kNone) {
        total[0] += r_.weights[pair] * rows[0];
        total[1] += r_.weights[pair] * rows[1];
      }
    }
    if (!rehearsed) leave(1);
    chunk = (chunk + kColumnWarps - chunks) % kColumnWarps;
  }
  add_neighbours(total);
  leave_sums(total, outputs() + slab_sums());
}

// Four threads for an output of a token, each with some of the columns.
__device__ inline void ColumnsWorker::store_outputs(int slab) const {
  constexpr int kParts = 4;
  const MoeArgs& a = b_.a;
  if (warp_ * device::kWarpThreads >= a.tokens * kSlabRows * kParts) return;
  const int at = static_cast<int>(threadIdx.x) / kParts;
  const int part = lane_ % kParts;
  const float* row = outputs() + at * kSumsPitch + part * (kColumnWarps / kParts);
  float sum = 0;
#pragma unroll
  for (int w = 0; w < kColumnWarps / kParts; ++w) sum += row[w] + row[slab_sums() + w];
#pragma unroll
  for (int other = 1; other < kParts; other *= 2) {
    sum += __shfl_xor_sync(kFullWarp, sum, other);
  }
  if (part != 0) return;
  const int tile_row = at % kSlabRows;
  const int output =
      tile_row / (kSlabRows / 2) * (kSlabRows / 2) + weight_row(tile_row % (kSlabRows / 2));
  device::store(a.out + at / kSlabRows * a.out_stride + slab * kSlabRows + output, sum);
}

__device__ inline void ColumnsWorker::second_halves() {
  const MoeArgs& a = b_.a;
  const Share share = b_.hidden_share();
  if (share.begin == share.end) return;
  b_.wait_to_know(kWideCame);
  uint4 x[4];
  load_plain(reinterpret_cast<const uint4*>(b_.at(b_.plan.wide_at)) +
                 min(lane_ / 4, a.tokens - 1) * octets(a.wide_inputs),
             a.wide_inputs, x);
  multiply_shared(a.wide_inputs, x, outputs());
  b_.wait_to_know(kWeighed);
  column_workers_meet();  // the sums of first halves have been read
#pragma unroll 1
  for (int time = 0; time < 2; ++time) {
    const bool rehearsed = time == 0;
    if (!rehearsed) {
      load_halves();
      column_workers_meet();  // what is between the halves is there
    }
    second_half_of_experts(rehearsed);
  }
  column_workers_meet();  // the sums of all warps are there
  store_outputs(share.begin);
}

}  // namespace glm::kernels::cuda
