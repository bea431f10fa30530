// The second halves of moe_columns.cu and their sum.
#pragma once

#include "kernels/cuda/moe_columns_worker.cuh"

namespace glm::kernels::cuda {

// What is between the halves of all chosen experts, to where sums were.
template <class Codec>
__device__ void ColumnsWorker<Codec>::load_halves() const {
  constexpr int kAtOnce = 3;
  const int all = b_.a.rule.chosen * octets(b_.a.outer.inputs);
  const auto* from = reinterpret_cast<const uint4*>(b_.halves(0));
  auto* to = reinterpret_cast<uint4*>(sums());
#pragma unroll 1
  for (int first = static_cast<int>(threadIdx.x); first - lane_ < all;
       first += kAtOnce * kColumnWorkers) {
    uint4 own[kAtOnce];
    const auto place = [&](int i) { return first + i * kColumnWorkers; };
    device::await_together(
        own, [&](int i) { return place(i) < all; }, [&](int i) { return from + place(i); });
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      if constexpr (Codec::kHalf) {
        if (place(i) - lane_ >= all) continue;
        own[i] = half_chunks<true>(own[i], r_.halves_units + place(i) / device::kWarpThreads);
      }
      if (place(i) < all) to[place(i)] = own[i];
    }
  }
}

// Its chunks are dealt out among the warps. `rehearsed`: one slab for nothing, so that the code has
// come when it matters.
template <class Codec>
__device__ void ColumnsWorker<Codec>::second_half_of_experts(bool rehearsed) {
  const int row_octets = octets(b_.a.outer.inputs);
  const int chunks = row_octets / kOctetsPerChunk;
  const int entries = rehearsed ? 1 : b_.a.rule.chosen;
  float total[2] = {};
  int chunk = warp_;
#pragma unroll 1
  for (int entry = 0; entry < entries; ++entry) {
    wait_for(next_);
    if (chunk < chunks) {
      const Activations x = load_chunk(reinterpret_cast<const uint4*>(sums()) + entry * row_octets,
                                       !rehearsed ? chunk : kNoChunk);
      float rows[2];
      Codec::multiply(b_.plan.outer, stage(next_), Codec::groups_at(b_.plan.outer, chunk), x, rows);
      const float weight = r_.weights[entry] * unit_of(r_.halves_units, entry * chunks + chunk);
      total[0] += weight * rows[0];
      total[1] += weight * rows[1];
    }
    if (!rehearsed) leave(1);
    chunk = (chunk + kColumnWarps - chunks) % kColumnWarps;
  }
  add_neighbours(total);
  leave_sums(total, outputs() + kSlabSums);
}

template <class Codec>
__device__ void ColumnsWorker<Codec>::second_half_of_shared() {
  const MoeArgs& a = b_.a;
  const auto* wide = reinterpret_cast<const uint4*>(b_.at(b_.plan.wide_at));
  b_.wait_to_know(kWideCame);
  if constexpr (Codec::kShared) {
    const int chunk = has_columns(a.wide_inputs) ? warp_ : kNoChunk;
    multiply_coded(b_.plan.outer, load_chunk(wide, chunk), chunk, outputs(),
                   unit_of(r_.wide_units, chunk));
  } else {
    uint4 x[4];
    load_plain(wide, a.wide_inputs, x);
    multiply_shared(a.wide_inputs, x, outputs());
  }
}

// Four threads for an output, each with some of the columns. Sums of the shared expert are to be
// multiplied with `unit`.
template <class Codec>
__device__ void ColumnsWorker<Codec>::store_outputs(int slab, float unit) const {
  constexpr int kParts = 4;
  const MoeArgs& a = b_.a;
  if (warp_ * device::kWarpThreads >= kSlabRows * kParts) return;
  const int at = static_cast<int>(threadIdx.x) / kParts;
  const int part = lane_ % kParts;
  const float* row = outputs() + at * kSumsPitch + part * (kColumnWarps / kParts);
  float sum = 0;
#pragma unroll
  for (int w = 0; w < kColumnWarps / kParts; ++w) {
    sum += (Codec::kShared ? row[w] * unit : row[w]) + row[kSlabSums + w];
  }
#pragma unroll
  for (int other = 1; other < kParts; other *= 2) {
    sum += __shfl_xor_sync(kFullWarp, sum, other);
  }
  if (part != 0) return;
  const int output = at / (kSlabRows / 2) * (kSlabRows / 2) + weight_row(at % (kSlabRows / 2));
  device::store(a.out + slab * kSlabRows + output, sum);
}

template <class Codec>
__device__ void ColumnsWorker<Codec>::second_halves() {
  const MoeArgs& a = b_.a;
  const Share share = b_.hidden_share();
  if (share.begin == share.end) return;
  const auto unit = Codec::unit(a.shared_down);
  second_half_of_shared();
  b_.wait_to_know(kWeighed);
  column_workers_meet();  // the sums of first halves have been read
#pragma unroll 1
  for (int time = 0; time < 2; ++time) {
    const bool rehearsed = time == 0;
    if (!rehearsed) {
      load_halves();
      column_workers_meet();  // what is between the halves is there
      // Not before: their blocks find no room until these end, and to have them wait costs time.
      device::let_later_kernels_start();
    }
    second_half_of_experts(rehearsed);
  }
  column_workers_meet();  // the sums of all warps are there
  store_outputs(share.begin, unit);
}

}  // namespace glm::kernels::cuda
