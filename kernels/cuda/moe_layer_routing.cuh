// How a block of moe_layer.cu comes to know which experts are wanted: it chooses for itself, by
// what the kernel in front has left.
#pragma once

#include "kernels/cuda/bulk_slabs.cuh"
#include "kernels/cuda/moe_half_rows.cuh"
#include "kernels/cuda/moe_layer.h"
#include "kernels/cuda/moe_layer_warps.cuh"
#include "kernels/cuda/router_choice.cuh"
#include "kernels/device/bulk_copy.cuh"

namespace glm::kernels::cuda {

// What a block knows of the choice, in shared memory.
struct MoeRouting {
  float* weights;        // [tokens, chosen]
  std::int32_t* ids;     // [tokens, chosen]
  std::int32_t* order;   // [tokens, chosen] places of a token's experts by their indices
  std::uint32_t* masks;  // [experts] bit t: token t has it
  std::uint8_t* slots;   // [experts, kMoeTokensMax] which of a token's experts this is
  std::int32_t* active;  // [*count] experts that some token has, in the order of indices
  std::int32_t* count;   // and behind it, how many tokens experts have beyond their first
  float* scales;         // [kMoeTokensMax] what is left to do of the norm
  std::uint8_t* extras;  // [experts] of those in active, tokens beyond the first of experts before

  __device__ MoeRouting(std::uint8_t* memory, const MoePlan& plan, int experts)
      : weights(reinterpret_cast<float*>(memory + plan.weights_at)),
        ids(reinterpret_cast<std::int32_t*>(memory + plan.ids_at)),
        order(reinterpret_cast<std::int32_t*>(memory + plan.order_at)),
        masks(reinterpret_cast<std::uint32_t*>(memory + plan.masks_at)),
        slots(memory + plan.slots_at),
        active(reinterpret_cast<std::int32_t*>(memory + plan.active_at)),
        count(active + experts),
        scales(reinterpret_cast<float*>(memory + plan.scales_at)),
        extras(memory + plan.extras_at) {}

  // Of the tokens that have the expert, how many come before this one; 0 as well if it is none.
  __device__ int number(int token, int expert) const {
    const std::uint32_t mask = masks[expert];
    return (mask >> token & 1U) != 0 ? __popc(mask & ((1U << token) - 1U)) : 0;
  }
  // Which of the pairs (token, expert) this is; the token has the expert.
  __device__ int pair_of(int token, int expert, int chosen) const {
    return token * chosen + slots[expert * kMoeTokensMax + token];
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
    if (a.tokens == 1) routing.active[smaller] = ids[j];
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
  int extras = 0;
#pragma unroll 1
  for (int first = 0; first < experts; first += device::kWarpThreads) {
    const int expert = first + lane;
    const std::uint32_t mask = expert < experts ? routing.masks[expert] : 0U;
    const unsigned all = __ballot_sync(kFullWarp, mask != 0);
    if (mask != 0) routing.active[before + __popc(all & ((1U << lane) - 1U))] = expert;
    before += __popc(all);
    const int own = max(__popc(mask) - 1, 0);
    int place = extras;
#pragma unroll
    for (int bit = 0; 1 << bit < kMoeTokensMax; ++bit) {
      const unsigned with = __ballot_sync(kFullWarp, (own >> bit & 1) != 0);
      place += __popc(with & ((1U << lane) - 1U)) << bit;
      extras += __popc(with) << bit;
    }
    if (expert < experts) routing.extras[expert] = static_cast<std::uint8_t>(place);
  }
  if (lane > 0) return;
  routing.count[0] = before;
  routing.count[1] = extras;
}

// A token's logits as choose_experts() wants them, from the sums that a front leaves, and what is
// left to do of the norm. By one warp, which asks for all it needs before it uses any.
__device__ inline float norm_scores(const MoeArgs& a, int token, float* logits) {
  constexpr int kAtOnce = 4;
  const int experts = a.rule.experts;
  const int lane = lane_index();
  const MoeScore* scores = a.scores + token * (experts + kMoeSquares);
  const MoeScore squares = __ldcg(scores + experts);
  float scale = 0;
#pragma unroll 1
  for (int first = lane; first - lane < experts; first += kAtOnce * device::kWarpThreads) {
    MoeScore own[kAtOnce];
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      const int e = first + i * device::kWarpThreads;
      own[i] = e < experts ? __ldcg(scores + e) : 0;
    }
    const float mean = __ll2float_rn(static_cast<long long>(squares)) *
                       (kMoeSquaresUnit / static_cast<float>(a.inner.inputs));
    scale = 1.0F / sqrtf(mean + a.eps);
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      const int e = first + i * device::kWarpThreads;
      if (e >= experts) continue;
      const float logit = __ll2float_rn(static_cast<long long>(own[i])) * (scale * kMoeScoreUnit);
      logits[e] = logit;
      if (blockIdx.x == 0) a.logits[token * experts + e] = logit;
    }
  }
  return scale;
}

__device__ inline std::uint32_t* largest_of_norm(const MoePlan& plan, std::uint8_t* memory) {
  return reinterpret_cast<std::uint32_t*>(memory + plan.half_units_at) + kMoeTokensMax;
}
// By the workers, who then meet; it was zero.
__device__ inline void find_largest_of_norm(const MoeArgs& a, const MoePlan& plan,
                                            std::uint8_t* memory) {
  std::uint32_t most = 0;
#pragma unroll 1
  for (int i = static_cast<int>(threadIdx.x); i < plan.octets; i += kWorkers) {
    most = max(most, device::largest_bits(__ldg(reinterpret_cast<const uint4*>(a.norm) + i)));
  }
  most = __reduce_max_sync(kFullWarp, most);
  if (lane_index() == 0) atomicMax(largest_of_norm(plan, memory), most);
}

// What the router has besides its large weights, to shared memory; what the norm has, to the
// second-level cache. By the workers.
__device__ inline void prepare(const MoeArgs& a, const MoePlan& plan, std::uint8_t* memory) {
  const int thread = static_cast<int>(threadIdx.x);
  constexpr int kLine = 8;  // octets
  auto* bias = reinterpret_cast<float*>(memory + plan.bias_at);
#pragma unroll 1
  for (int e = thread; a.rule.bias != nullptr && !are_few(a.rule) && e < a.rule.experts;
       e += kWorkers) {
    bias[e] = __ldg(a.rule.bias + e);
  }
#pragma unroll 1
  for (int i = thread * kLine; a.norm != nullptr && i < plan.octets; i += kWorkers * kLine) {
    device::prefetch(reinterpret_cast<const uint4*>(a.norm) + i);
  }
}

// Some servants choose, one for each token; of more tokens it is the workers, who then have nothing
// to do yet.
__device__ inline bool workers_choose(const MoeArgs& a) {
  return a.tokens > kChooserWarps;
}
// Which token this warp chooses for, if there is that one; -1: none.
__device__ inline int chooses_for(const MoeArgs& a) {
  return workers_choose(a) ? warp_index() : warp_index() - kFirstChooser;
}

// Of the experts that a lane has of few. Depends on nothing.
struct LaneBias {
  float values[2] = {};
  __device__ explicit LaneBias(const RouterRule& rule) {
    if (rule.bias == nullptr || !are_few(rule)) return;
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int e = lane_index() + i * device::kWarpThreads;
      if (e < rule.experts) values[i] = __ldg(rule.bias + e);
    }
  }
};

// By one warp.
__device__ inline void choose_for(const MoeArgs& a, const MoePlan& plan, std::uint8_t* memory,
                                  int token, const LaneBias& own_bias) {
  const MoeRouting routing(memory, plan, a.rule.experts);
  RouterRule rule = a.rule;
  if (rule.bias != nullptr) rule.bias = reinterpret_cast<float*>(memory + plan.bias_at);
  auto* scratch = reinterpret_cast<float*>(memory + plan.scratch_at +
                                           static_cast<unsigned>(token) * plan.scratch);
  float scale = 1;
  if (a.scores != nullptr) {
    scale = norm_scores(a, token, scratch);
  } else {
    read_logits(rule, a.logits + static_cast<std::int64_t>(token) * rule.experts, scratch);
  }
  if (lane_index() == 0) routing.scales[token] = scale;
  std::int32_t* ids = routing.ids + token * rule.chosen;
  float* weights = routing.weights + token * rule.chosen;
  if (are_few(rule)) {
    float logits[2];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int e = lane_index() + i * device::kWarpThreads;
      logits[i] = e < rule.experts ? scratch[e] : 0.0F;
    }
    choose_of_few(rule, logits, own_bias.values, ids, weights);
  } else {
    choose_experts(rule, scratch, ids, weights);
  }
  __syncwarp();  // the choice is there
  note_choice(a, routing, token);
  make_known(plan, memory, kAllChose);
}

// The teller's first task.
__device__ inline void tell_choice(const MoeArgs& a, const MoePlan& plan, std::uint8_t* memory) {
  const MoeRouting routing(memory, plan, a.rule.experts);
  wait_to_know(plan, memory, kAllChose);
  if (a.tokens == 1) {
    routing.count[0] = a.rule.chosen;  // and they are listed
    routing.count[1] = 0;
  } else {
    list_active(routing, a.rule.experts);
  }
  make_known(plan, memory, kChoiceKnown);
}

}  // namespace glm::kernels::cuda
