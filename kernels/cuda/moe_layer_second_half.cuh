// The second halves of moe_layer.cu, slab of outputs by slab of outputs, and their sum.
#pragma once

#include "kernels/cuda/moe_layer_worker.cuh"

namespace glm::kernels::cuda {

// `parity`: of its barriers.
template <class Codec, bool kCoded>
__device__ void Worker<Codec, kCoded>::second_half_of_shared(int slab, unsigned parity) {
  const int token = lane_index() / 4;
  const auto* x = reinterpret_cast<const uint4*>(
      a_.wide + static_cast<std::int64_t>(token) * a_.wide_inputs + lane_index() % 4 * 32);
  const auto octet = [&](int chunk, int word) {
    return token < a_.tokens ? __ldcg(x + chunk * kOctetsPerChunk + word) : uint4{};
  };
  const auto wait = [&](int item) {
    device::barrier_wait(shared_full_barrier(plan_, memory_, item), parity);
  };
  if constexpr (kCoded) {
    const int row = slab * kSlabRows;
    const SlabScales<Codec> scales(a_.shared_down, row, a_.shared_down, row + kSlabRows / 2);
    multiply_coded<Codec>(a_.shared_down, plan_.outer, scales, 0, octet, wait);
  } else {
    multiply_quads(a_.wide_inputs, 0, octet, wait);
  }
}

// Where a lane finds what its token has between the halves: with the weights, or where other rows
// have been sent; the last ones have found no room and are where they were written. Lanes of tokens
// that do not have the expert compute something that nobody takes.
template <class Codec, bool kCoded>
__device__ const uint4* Worker<Codec, kCoded>::row_of(int expert, const std::uint8_t* stage) const {
  const int token = lane_index() / 4;
  const std::uint8_t* row = stage + plan_.row_at;
  const int number = routing_.number(token, expert);
  if (number > 0) {
    const int place = routing_.extras[expert] + number - 1;
    row =
        place < plan_.extra_rows
            ? memory_ + static_cast<unsigned>(place) * row_bytes(a_)
            : reinterpret_cast<const std::uint8_t*>(static_cast<const __nv_bfloat16*>(a_.outer.x) +
                                                    pair_of(token, expert) * a_.outer.x_stride);
  }
  return reinterpret_cast<const uint4*>(row) + lane_index() % 4 * 4;
}

template <class Codec, bool kCoded>
__device__ void Worker<Codec, kCoded>::second_half_of_experts(int slab) {
  const int count = *routing_.count;
  const int lot = first_lot(count);
#pragma unroll 1
  for (int entry = first_item(); entry < count; entry += kMoeTeams) {
    wait_to_know(plan_, memory_, kTaskKnown + kMoeLot + (entry < lot ? 0 : 1));
    const int expert = routing_.active[entry];
    const Turn turn(items_ + entry, plan_);
    const uint4* x = row_of(expert, stage(turn));
    const device::Weight down = device::weight_at(a_.outer.weight, expert);
    const auto unit = Codec::unit(down);
    const int row = slab * kSlabRows;
    const SlabScales<Codec> scales(down, row, down, row + kSlabRows / 2);
    float sums[4] = {};
    wait_for(turn);
    multiply_slab<Codec>(
        a_.outer.weight.first, plan_.outer, stage(turn), team_.warp, 1,
        static_cast<int>(a_.outer.inputs) / kChunk, scales,
        [&](int chunk, int word) { return x[chunk * kOctetsPerChunk + word]; }, sums);
    leave(turn);
    float total[4];
    if (!team_.add(sums, total)) continue;
#pragma unroll
    for (int e = 0; e < 2; ++e) {
      const int token = 2 * (lane_index() % 4) + e;
      if (!has(token, expert)) continue;
      float* to = totals() + pair_of(token, expert) * kSlabRows + weight_row(lane_index() / 4);
      to[0] = total[e] * unit;
      to[kSlabRows / 2] = total[2 + e] * unit;
    }
  }
  items_ += count;
}

template <class Codec, bool kCoded>
__device__ void Worker<Codec, kCoded>::store_outputs(int slab) {
  const int chosen = a_.rule.chosen;
  const int at = static_cast<int>(threadIdx.x);
  if (at >= a_.tokens * kSlabRows) return;
  const int token = at / kSlabRows;
  const int o = at % kSlabRows;
  float sum = 0;
#pragma unroll 4
  for (int step = 0; step < chosen; ++step) {
    const int pair = token * chosen + routing_.order[token * chosen + step];
    sum += routing_.weights[pair] * totals()[pair * kSlabRows + o];
  }
  // Where a lane of the tensor-core tile left it.
  const int tile_row = o % kQuadRows * 2 + o % (kSlabRows / 2) / kQuadRows;
  const int lane = 4 * tile_row + token / 2;
  const auto* shared = reinterpret_cast<const float*>(memory_ + plan_.shared_at) + 4 * lane +
                       o / (kSlabRows / 2) * 2 + token % 2;
  float of_shared = 0;
#pragma unroll
  for (int team = 0; team < kMoeTeams; ++team) {
    of_shared += shared[team * device::kWarpThreads * 4];
  }
  device::store(a_.out + token * a_.out_stride + slab * kSlabRows + o,
                sum + of_shared * down_unit_);
}

template <class Codec, bool kCoded>
__device__ void Worker<Codec, kCoded>::second_halves() {
  const Share share = equal_share(plan_, plan_.hidden_slabs);
  wait_to_know(plan_, memory_, kTaskKnown + kMoeWide);
#pragma unroll 1
  for (int slab = share.begin; slab < share.end; ++slab) {
    second_half_of_shared(slab, static_cast<unsigned>(slab - share.begin) & 1U);
    second_half_of_experts(slab);
    workers_meet();  // the sums of all experts are there
    store_outputs(slab);
    if (slab + 1 < share.end) workers_meet();  // and have been read
  }
}

}  // namespace glm::kernels::cuda
