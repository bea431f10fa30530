// How the blocks of moe_layer.cu come to know which experts are wanted: some compute logits, all
// wait for those of all experts, and each chooses for itself.
#pragma once

#include <cassert>

#include "kernels/cuda/bulk_slabs.cuh"
#include "kernels/cuda/moe_layer.h"
#include "kernels/cuda/moe_layer_warps.cuh"
#include "kernels/cuda/router_choice.cuh"

#ifdef NDEBUG
// What assert() is made of; headers declare it only where that is on.
extern "C" __host__ __device__ void __assert_fail(const char* assertion, const char* file,
                                                  unsigned line, const char* function) noexcept;
#endif

namespace glm::kernels::cuda {

// What a block knows of the choice, in shared memory.
struct MoeRouting {
  float* weights;        // [tokens, chosen]
  std::int32_t* ids;     // [tokens, chosen]
  std::int32_t* order;   // [tokens, chosen] places of a token's experts by their indices
  std::uint32_t* masks;  // [experts] bit t: token t has it
  std::uint8_t* slots;   // [experts, kMoeTokensMax] which of a token's experts this is
  std::int32_t* active;  // [*count] experts that some token has, in the order of indices
  std::int32_t* count;

  __device__ MoeRouting(std::uint8_t* memory, const MoePlan& plan, int experts)
      : weights(reinterpret_cast<float*>(memory + plan.weights_at)),
        ids(reinterpret_cast<std::int32_t*>(memory + plan.ids_at)),
        order(reinterpret_cast<std::int32_t*>(memory + plan.order_at)),
        masks(reinterpret_cast<std::uint32_t*>(memory + plan.masks_at)),
        slots(memory + plan.slots_at),
        active(reinterpret_cast<std::int32_t*>(memory + plan.active_at)),
        count(active + experts) {}
};

// Counters of other blocks: what they wrote before can be read afterwards.
__device__ inline std::uint32_t load_acquire(const std::uint32_t* from) {
  std::uint32_t value = 0;
  asm volatile("ld.acquire.gpu.global.u32 %0, [%1];\n" : "=r"(value) : "l"(from) : "memory");
  return value;
}
__device__ inline void add_release(std::uint32_t* to, std::uint32_t value) {
  asm volatile("red.release.gpu.global.add.u32 [%0], %1;\n" ::"l"(to), "r"(value) : "memory");
}
// What should come within microseconds. When it has not after so many looks, ten seconds and more,
// it never will: the kernel ends with an error that says so.
constexpr unsigned kLooksMax = 1U << 25U;
__device__ inline void wait_until(const std::uint32_t* counter, std::uint32_t wanted) {
#pragma unroll 1
  for (unsigned looks = 0; load_acquire(counter) != wanted; ++looks) {
    if (looks < kLooksMax) continue;
    __assert_fail("all blocks of moe_layer run at once", "kernels/cuda/moe_layer_routing.cuh", 0,
                  "wait_until");
  }
}

// Eight columns of a row of the router.
struct RouterOctet {
  float values[8] = {};

  RouterOctet() = default;
  __device__ RouterOctet(const device::Weight& w, std::int64_t row, int octet) {
    const std::uint8_t* from = w.data + row * w.row_bytes;
    if (w.coding == device::Coding::f32) {
      const float4 first = __ldg(reinterpret_cast<const float4*>(from) + 2 * octet);
      const float4 second = __ldg(reinterpret_cast<const float4*>(from) + 2 * octet + 1);
      const float all[8] = {first.x,  first.y,  first.z,  first.w,
                            second.x, second.y, second.z, second.w};
#pragma unroll
      for (int i = 0; i < 8; ++i) values[i] = all[i];
    } else {
      const uint4 raw = __ldg(reinterpret_cast<const uint4*>(from) + octet);
      const std::uint32_t words[4] = {raw.x, raw.y, raw.z, raw.w};
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        values[2 * i] = __uint_as_float(words[i] << 16U);
        values[2 * i + 1] = __uint_as_float(words[i] & 0xFFFF0000U);
      }
    }
  }

  // `x` are eight activations in int4_order().
  __device__ float times(const uint4& x) const {
    const std::uint32_t words[4] = {x.x, x.y, x.z, x.w};
    float sum = 0;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      sum += values[i] * __uint_as_float(words[i] << 16U);
      sum += values[i + 4] * __uint_as_float(words[i] & 0xFFFF0000U);
    }
    return sum;
  }
};

// What follows from a token's choice, by one warp.
__device__ inline void note_choice(const MoeArgs& a, const MoeRouting& routing, int token) {
  const int chosen = a.rule.chosen;
  const int first = token * chosen;
  const std::int32_t* ids = routing.ids + first;
#pragma unroll 1
  for (int j = lane_index(); j < chosen; j += device::kWarpThreads) {
    int smaller = 0;
#pragma unroll 1
    for (int other = 0; other < chosen; ++other) smaller += ids[other] < ids[j] ? 1 : 0;
    routing.order[first + smaller] = j;
    routing.slots[ids[j] * kMoeTokensMax + token] = static_cast<std::uint8_t>(j);
    atomicOr(routing.masks + ids[j], 1U << token);
    if (blockIdx.x == 0) {
      a.ids[first + j] = ids[j];
      a.weights[first + j] = routing.weights[first + j];
    }
  }
}

// By one warp, when all tokens have chosen.
__device__ inline void list_active(const MoeRouting& routing, int experts) {
  const int lane = lane_index();
  int before = 0;
#pragma unroll 1
  for (int first = 0; first < experts; first += device::kWarpThreads) {
    const int expert = first + lane;
    const bool wanted = expert < experts && routing.masks[expert] != 0;
    const unsigned all = __ballot_sync(kFullWarp, wanted);
    if (wanted) routing.active[before + __popc(all & ((1U << lane) - 1U))] = expert;
    before += __popc(all);
  }
  if (lane == 0) *routing.count = before;
}

// Who chooses experts: the servants that do not fetch, unless there are more tokens than of them.
// Then it is the others, which are through with the shared expert's first half by then.
struct Choosers {
  int warps;
  int first_warp = 0;  // of the block
  int barrier = kWorkersBarrier;
};
// Before they do.
__device__ inline void load_bias(const MoeArgs& a, const MoePlan& plan, std::uint8_t* memory,
                                 const Choosers& choosers) {
  if (a.rule.bias == nullptr) return;
  auto* bias = reinterpret_cast<float*>(memory + plan.bias_at);
#pragma unroll 1
  for (int e = static_cast<int>(threadIdx.x) - choosers.first_warp * device::kWarpThreads;
       e < a.rule.experts; e += choosers.warps * device::kWarpThreads) {
    bias[e] = a.rule.bias[e];
  }
}
__device__ inline void choose(const MoeArgs& a, const MoePlan& plan, std::uint8_t* memory,
                              const Choosers& choosers) {
  const int warp = static_cast<int>(threadIdx.x) / device::kWarpThreads - choosers.first_warp;
  const int threads = choosers.warps * device::kWarpThreads;
  const MoeRouting routing(memory, plan, a.rule.experts);
  RouterRule rule = a.rule;
  if (rule.bias != nullptr) rule.bias = reinterpret_cast<float*>(memory + plan.bias_at);
  if (warp == 0 && lane_index() == 0) {
    wait_until(&a.progress->routed, static_cast<std::uint32_t>(rule.experts));
  }
  device::sync_threads(choosers.barrier, threads);  // logits can be read
  if (warp < a.tokens) {
    choose_experts(rule, a.logits + static_cast<std::int64_t>(warp) * rule.experts,
                   memory + plan.scratch_at + static_cast<unsigned>(warp) * plan.scratch,
                   routing.ids + warp * rule.chosen, routing.weights + warp * rule.chosen);
    __syncwarp();  // the choice is there
    note_choice(a, routing, warp);
  }
  device::sync_threads(choosers.barrier, threads);  // all have chosen
  if (warp == 0) list_active(routing, rule.experts);
}

// Logits are wanted first, and what comes before in the queue of the memory delays them: so no
// block asks for other weights until it has seen a row of the router.
__device__ inline void wait_for_router(const MoeArgs& a) {
  const std::int64_t expert = blockIdx.x % static_cast<unsigned>(a.rule.experts);
  const auto* row = reinterpret_cast<const uint4*>(a.router.data + expert * a.router.row_bytes);
  std::uint32_t sum = 0;
#pragma unroll 4
  for (int i = lane_index(); i < a.router.row_bytes / 16; i += device::kWarpThreads) {
    const uint4 four = __ldg(row + i);
    sum |= four.x | four.y | four.z | four.w;
  }
  if (__all_sync(kFullWarp, sum == 0)) __nanosleep(0);  // whatever it is, it must have come
}

}  // namespace glm::kernels::cuda
