// How a block of moe_columns.cu comes to know which experts are wanted: it chooses for itself, by
// what the kernel in front has left. First who they are, as weights are fetched by that.
#pragma once

#include "kernels/cuda/moe_columns_block.cuh"
#include "kernels/cuda/moe_columns_math.cuh"
#include "kernels/cuda/router_choice.cuh"

namespace glm::kernels::cuda {

// How often something is done for nothing before it is due, with whatever is there: code is fetched
// anew for each launch, and so comes while the kernel in front still runs. More than the compiler
// is to know.
__device__ inline int rehearsals() {
  int count = 1;
  asm volatile("" : "+r"(count));
  return count;
}

// By one warp. What depends on nothing is read when this is made.
class ColumnsChoice {
 public:
  __device__ explicit ColumnsChoice(const ColumnsBlock& block) : b_(block) {
    const RouterRule& rule = b_.a.rule;
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      bias_[i] = rule.bias != nullptr && is_expert(i) ? __ldg(rule.bias + expert(i)) : 0.0F;
    }
  }

  // As choose_of_few(), but for last bits of scores; when the kernel in front has ended.
  __device__ void choose() const {
    const RouterRule& rule = b_.a.rule;
    ColumnsRouting& routing = b_.routing;
    float logits[2];
    float scores[2];
    float scale = 1;
    int places[2];  // in the choice, of this lane's experts
#pragma unroll 1
    for (int left = rehearsals(); left >= 0; --left) {
      if (left == 0) {
        servants_find_set_up();
        device::wait_for_earlier_kernels();
      }
      scale = read(logits);
      std::uint32_t keys[2];
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const bool is_number = !isnan(logits[i]);
        scores[i] = is_number ? __fdividef(1.0F, 1.0F + __expf(-logits[i])) : 0.0F;
        keys[i] = is_expert(i) ? key_of(is_number ? scores[i] + bias_[i] : -INFINITY) : 0U;
        places[i] = -1;
      }
#pragma unroll 1
      for (int j = 0; j < rule.chosen; ++j) {
        const std::uint32_t largest = __reduce_max_sync(kFullWarp, max(keys[0], keys[1]));
        const unsigned first = __ballot_sync(kFullWarp, keys[0] == largest);
        const unsigned second = __ballot_sync(kFullWarp, keys[1] == largest);
        const bool wins = lane_index() == __ffs(static_cast<int>(first != 0 ? first : second)) - 1;
        if (wins && first != 0) {
          keys[0] = 0;
          places[0] = j;
        }
        if (wins && first == 0) {
          keys[1] = 0;
          places[1] = j;
        }
      }
    }
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      if (places[i] < 0) continue;
      routing.ids[places[i]] = expert(i);
      routing.scores[places[i]] = scores[i];
    }
    if (lane_index() == 0) routing.scale = scale;
    b_.make_known(kChosen);
    if (b_.a.scores == nullptr || blockIdx.x != 0) return;
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      if (is_expert(i)) b_.a.logits[expert(i)] = logits[i];
    }
  }

 private:
  __device__ static int expert(int i) {
    return lane_index() + i * device::kWarpThreads;
  }
  __device__ bool is_expert(int i) const {
    return expert(i) < b_.a.rule.experts;
  }

  // This lane's logits, from the sums that a front leaves where there is one; and the norm's scale.
  __device__ float read(float (&logits)[2]) const {
    const MoeArgs& a = b_.a;
    if (a.scores == nullptr) {
#pragma unroll
      for (int i = 0; i < 2; ++i) logits[i] = is_expert(i) ? __ldcg(a.logits + expert(i)) : 0.0F;
      return 1;
    }
    const MoeScore squares = __ldcg(a.scores + a.rule.experts);
    MoeScore own[2];
#pragma unroll
    for (int i = 0; i < 2; ++i) own[i] = is_expert(i) ? __ldcg(a.scores + expert(i)) : 0;
    const float mean = __ll2float_rn(static_cast<long long>(squares)) *
                       __fdividef(kMoeSquaresUnit, static_cast<float>(a.inner.inputs));
    const float scale = rsqrtf(mean + a.eps);
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      logits[i] = __ll2float_rn(static_cast<long long>(own[i])) * (scale * kMoeScoreUnit);
    }
    return scale;
  }

  const ColumnsBlock& b_;
  float bias_[2];
};

// The rest of the choice. By one warp, which knows it. What sums of an expert's second half are
// to be multiplied with is in its weight here.
template <class Codec>
__device__ void weigh(const ColumnsBlock& b) {
  ColumnsRouting& routing = b.routing;
  const RouterRule& rule = b.a.rule;
  const int entry = lane_index();
  static_assert(kColumnChosen <= device::kWarpThreads);
  if (entry < rule.chosen) {
    float sum = 0;
#pragma unroll 1
    for (int j = 0; j < rule.chosen; ++j) sum += routing.scores[j];
    const float weight =
        routing.scores[entry] * (rule.normalized ? rule.scale / (sum + 1e-20F) : rule.scale);
    routing.weights[entry] =
        weight * Codec::unit(device::weight_at(b.a.outer.weight, routing.ids[entry]));
    if (blockIdx.x == 0) {
      b.a.ids[entry] = routing.ids[entry];
      b.a.weights[entry] = weight;
    }
  }
  b.make_known(kWeighed);
}

// The watcher: which of the numbers that are awaited this launch uses; the others are emptied.
template <class Codec>
__device__ void take_turn(const ColumnsBlock& block) {
  const MoeArgs& a = block.a;
  const MoeAwaited& awaited = block.plan.awaited;
  const std::uint32_t turn = device::look_at(awaited.turn) & kPhase;
  if (lane_index() == 0) block.routing.turn = turn / kPhase;
  block.make_known(kTurnKnown);
  const unsigned octets = static_cast<unsigned>(awaited.count) / device::kOctet;
  auto* to = reinterpret_cast<uint4*>(awaited.first + (turn == 0 ? awaited.count : 0));
#pragma unroll 1
  for (unsigned i = blockIdx.x * device::kWarpThreads + static_cast<unsigned>(lane_index());
       i < octets; i += gridDim.x * device::kWarpThreads) {
    to[i] = device::kNothing16;
  }
  block.wait_to_know(kChosen);
  weigh<Codec>(block);
  // The turn has been seen, and the router's sums have been read.
  if (lane_index() == 0) add_to(awaited.turn, blockIdx.x == 0, static_cast<int>(gridDim.x));
  if (a.scores == nullptr || blockIdx.x != 0) return;
  if (lane_index() == 0) wait_for_change(awaited.turn, turn);
  __syncwarp();  // all blocks have
#pragma unroll 1
  for (int i = lane_index(); i < a.rule.experts + kMoeSquares; i += device::kWarpThreads) {
    a.scores[i] = 0;
  }
}

// What the shared expert has between its halves, to shared memory. By one warp.
template <class Codec>
__device__ void await_wide(const ColumnsBlock& b) {
  constexpr int kAtOnce = 6;
  const int all = b.a.wide_inputs / device::kOctet;
  const auto* from = reinterpret_cast<const uint4*>(b.wide());
  auto* to = reinterpret_cast<uint4*>(b.at(b.plan.wide_at));
#pragma unroll 1
  for (int first = lane_index(); first - lane_index() < all;
       first += kAtOnce * device::kWarpThreads) {
    uint4 own[kAtOnce];
    const auto place = [&](int i) { return first + i * device::kWarpThreads; };
    device::await_together(
        own, [&](int i) { return place(i) < all; }, [&](int i) { return from + place(i); });
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      if constexpr (Codec::kHalf) {
        if (place(i) - lane_index() >= all) continue;
        own[i] = half_chunks<true>(own[i], b.routing.wide_units + place(i) / device::kWarpThreads);
      }
      if (place(i) < all) to[place(i)] = own[i];
    }
  }
  b.make_known(kWideCame);
}

}  // namespace glm::kernels::cuda
