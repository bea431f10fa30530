// The second halves of moe_layer.cu, slab of outputs by slab of outputs, and their sum.
#pragma once

#include "kernels/cuda/moe_layer_worker.cuh"

namespace glm::kernels::cuda {

// Straight from memory: few lanes have any, and all warps have their own columns. Null: none.
template <class Codec>
__device__ const uint4* Worker<Codec>::own_row(int expert) const {
  const int token = lane_index() / 4;
  if (!has(token, expert)) return nullptr;
  return reinterpret_cast<const uint4*>(static_cast<const __nv_bfloat16*>(a_.outer.x) +
                                        pair_of(token, expert) * a_.outer.x_stride +
                                        team_.warp * kChunk + lane_index() % 4 * 32);
}
template <class Codec>
__device__ void Worker<Codec>::load_own(Own& own, const uint4* row, int i) const {
  const bool there = row != nullptr && (team_.warp + i * kTeamWarps) * kChunk < a_.outer.inputs;
#pragma unroll
  for (int word = 0; word < 4; ++word) {
    own[i][word] = there ? __ldcg(row + i * kTeamWarps * kOctetsPerChunk + word) : uint4{};
  }
}

template <class Codec>
__device__ void Worker<Codec>::second_half_of_shared() {
  const int token = lane_index() / 4;
  const auto* x = reinterpret_cast<const uint4*>(
      a_.wide + static_cast<std::int64_t>(token) * a_.wide_inputs + lane_index() % 4 * 32);
  multiply_quads(a_.wide_inputs, 0, [&](int chunk, int word) {
    if (token >= a_.tokens) return uint4{};
    return device::int4_order(__ldcg(x + chunk * kOctetsPerChunk + word));
  });
}

// Of the first expert that second_half_of_experts() will take.
template <class Codec>
__device__ void Worker<Codec>::load_first_own(Own& own) const {
  if (first_item() >= *routing_.count) return;
  const uint4* row = own_row(routing_.active[first_item()]);
#pragma unroll
  for (int i = 0; i < kOwnChunks; ++i) load_own(own, row, i);
}

// What comes next is read as soon as its registers are free.
template <class Codec>
__device__ void Worker<Codec>::second_half_of_experts(Own& own) {
  const int count = *routing_.count;
#pragma unroll 1
  for (int entry = first_item(); entry < count; entry += kMoeTeams) {
    const int expert = routing_.active[entry];
    const int next = entry + kMoeTeams;
    const uint4* next_row = next < count ? own_row(routing_.active[next]) : nullptr;
    const Turn turn(items_ + entry, plan_);
    LaneRows<Codec> rows(a_.outer.weight.first, plan_.outer, stage(turn), team_.warp);
    float sums[1][4] = {};
    wait_for(turn);
#pragma unroll
    for (int i = 0; i < kOwnChunks; ++i) {
      const int chunk = team_.warp + i * kTeamWarps;
      if (chunk * kChunk < a_.outer.inputs) {
        multiply_chunk<Codec>(
            LaneChunk<Codec>(a_.outer.weight.first, rows),
            [&](int, int word) { return device::int4_order(own[i][word]); }, sums);
      }
      rows.advance();
      load_own(own, next_row, i);
    }
    leave(turn);
    float total[4];
    if (!team_.add(sums[0], total)) continue;
    const float unit = Codec::unit(device::weight_at(a_.outer.weight, expert));
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

template <class Codec>
__device__ void Worker<Codec>::store_outputs(int slab) {
  const int chosen = a_.rule.chosen;
  const int at = static_cast<int>(threadIdx.x);
  if (at >= a_.tokens * kSlabRows) return;
  const int token = at / kSlabRows;
  const int o = at % kSlabRows;
  float sum = 0;
#pragma unroll 1
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
  device::store(a_.out + token * a_.out_stride + slab * kSlabRows + o, sum + of_shared);
}

template <class Codec>
__device__ void Worker<Codec>::second_halves() {
  const Share share = equal_share(plan_, plan_.hidden_slabs);
#pragma unroll 1
  for (int slab = share.begin; slab < share.end; ++slab) {
    Own own;
    load_first_own(own);
    second_half_of_shared();
    second_half_of_experts(own);
    workers_meet();  // the sums of all experts are there
    store_outputs(slab);
    if (slab + 1 < share.end) workers_meet();  // and have been read
  }
}

}  // namespace glm::kernels::cuda
