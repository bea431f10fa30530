// The warps of moe_layer.cu that multiply: from the activations to what is between the halves. The
// rest is in moe_layer_second_half.cuh.
#pragma once

#include <type_traits>

#include "kernels/cuda/moe_half_rows.cuh"
#include "kernels/cuda/moe_layer_math.cuh"
#include "kernels/cuda/moe_layer_routing.cuh"
#include "kernels/cuda/moe_layer_stages.cuh"
#include "kernels/cuda/moe_layer_warps.cuh"
#include "kernels/cuda/moe_layer_watch.cuh"
#include "kernels/device/octet.cuh"

namespace glm::kernels::cuda {

// A block's view of everything. kCoded: the shared expert is in the layout of the others.
template <class Codec, bool kCoded>
class Worker {
 public:
  __device__ Worker(const MoeArgs& a, const MoePlan& plan, std::uint8_t* memory)
      : a_(a),
        plan_(plan),
        memory_(memory),
        routing_(memory, plan, a.rule.experts),
        full_(device::shared_address(memory + plan.barriers_at)),
        empty_(full_ + 8 * plan.stages),
        team_index_(warp_index() / kTeamWarps),
        team_{.warp = warp_index() % kTeamWarps,
              .partial = reinterpret_cast<float4*>(memory + plan.partial_at) +
                         warp_index() / kTeamWarps * kBuffers * kBufferSums,
              .barriers = device::shared_address(memory + plan.team_barriers_at) +
                          8 * (warp_index() / kTeamWarps * kBuffers),
              .turn = 0},
        gate_unit_(shared_unit<First>(a.shared_gate)),
        up_unit_(shared_unit<First>(a.shared_up)),
        down_unit_(shared_unit<Codec>(a.shared_down)) {}

  __device__ void run() {
    // Of many tokens, some have been choosing meanwhile.
    constexpr int kChoosing = kMoeTokensMax;
    const int first = workers_choose(a_) ? kChoosing : 0;
    if (warp_index() >= first) load_activations(first);
    workers_meet();  // activations are there
    shared_first_half();
    wait_to_know(plan_, memory_, kChoiceKnown);
    store_wide();
    first_halves();
    second_halves();
  }

 private:
  using First = FirstHalf<Codec>;
  static constexpr bool kHalf = std::is_same_v<First, HalfFp4>;

  // A row is as long as its norm's weight and kRowShift.
  __device__ uint4* activations(int row) const {
    return reinterpret_cast<uint4*>(memory_ + static_cast<unsigned>(row) * plan_.x_pitch);
  }
  // Of this lane; beyond the last token something that nobody takes.
  __device__ const uint4* own_activations() const {
    return activations(min(lane_index() / 4, a_.tokens - 1)) + lane_index() % 4 * 4;
  }
  __device__ float4* shared_sums() const {
    return reinterpret_cast<float4*>(memory_ + plan_.shared_at) + lane_index();
  }
  __device__ float* totals() const { return reinterpret_cast<float*>(memory_ + plan_.totals_at); }
  __device__ const std::uint8_t* stage(const Turn& turn) const {
    return memory_ + plan_.stages_at + static_cast<unsigned>(turn.stage) * plan_.stage;
  }
  __device__ void wait_for(const Turn& turn) const {
    device::barrier_wait(full_ + 8 * turn.stage, turn.parity);
  }
  // The stage may be filled again.
  __device__ void leave(const Turn& turn) const {
    __syncwarp();  // all lanes have read it
    if (lane_index() == 0) device::barrier_arrive(empty_ + 8 * turn.stage);
  }
  // Of the items that come next, counted from 0, the first that is this team's.
  __device__ int first_item() const {
    return (team_index_ - items_ % kMoeTeams + kMoeTeams) % kMoeTeams;
  }
  // What is left to do of a token's activations.
  __device__ float scale_of(int token) const {
    return kHalf ? routing_.scales[token] * half_units()[token] : routing_.scales[token];
  }
  __device__ float* half_units() const {
    return reinterpret_cast<float*>(memory_ + plan_.half_units_at);
  }
  __device__ bool has(int token, int expert) const {
    return (routing_.masks[expert] >> token & 1U) != 0;
  }
  // Which of the pairs (token, expert) this is; the token has the expert.
  __device__ int pair_of(int token, int expert) const {
    return routing_.pair_of(token, expert, a_.rule.chosen);
  }

  __device__ void load_activations(int first_warp);
  template <class Activations, class Wait>
  __device__ void multiply_quads(int inputs, int slab, const Activations& x, const Wait& wait);
  template <class Coding, class Activations, class Wait>
  __device__ void multiply_coded(const device::Weight& weight, const BulkPlan& plan,
                                 const SlabScales<Coding>& scales, int slab, const Activations& x,
                                 const Wait& wait);
  // Of a weight of the shared expert.
  using SharedUnit = std::conditional_t<kCoded, decltype(Codec::unit(device::Weight())), float>;
  template <class Coding>
  __device__ static SharedUnit shared_unit(const device::Weight& w) {
    if constexpr (kCoded) {
      return Coding::unit(w);
    } else {
      return 1.0F;
    }
  }
  __device__ float4 shared_sum(int slab) const;
  __device__ void shared_first_half();
  __device__ void store_wide();
  __device__ void first_half_of_slab(int expert, int slab, const Turn& turn);
  __device__ void first_halves();
  __device__ const uint4* row_of(int expert, const std::uint8_t* stage) const;
  __device__ void second_half_of_shared(int slab, unsigned parity);
  __device__ void second_half_of_experts(int slab);
  __device__ void store_outputs(int slab);
  __device__ void second_halves();

  const MoeArgs& a_;
  const MoePlan& plan_;
  std::uint8_t* memory_;
  MoeRouting routing_;
  std::uint32_t full_;
  std::uint32_t empty_;
  int team_index_;
  Team team_;
  int items_ = 0;  // of the block, used up so far
  SharedUnit gate_unit_;
  SharedUnit up_unit_;
  SharedUnit down_unit_;
};

// Of a norm, its weight is multiplied here; what is the same for all columns of a token is left to
// the sums.
template <class Codec, bool kCoded>
__device__ void Worker<Codec, kCoded>::load_activations(int first_warp) {
  constexpr int kAtOnce = 4;
  const int threads = (kMoeWarps - first_warp) * device::kWarpThreads;
  const int thread = static_cast<int>(threadIdx.x) - first_warp * device::kWarpThreads;
  const int all = a_.tokens * plan_.octets;
  const std::uint32_t most = kHalf ? *largest_of_norm(plan_, memory_) : 0;
#pragma unroll 1
  for (int first = thread; first < all; first += kAtOnce * threads) {
    uint4 x[kAtOnce];
    uint4 norm[kAtOnce];
    uint4* to[kAtOnce];
    int rows[kAtOnce];
    MoeScore squares[kAtOnce];
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      const int at = first + i * threads;
      const auto row =
          static_cast<int>(multiplied_high(static_cast<unsigned>(at), plan_.by_octets));
      const int octet = at - row * plan_.octets;
      to[i] = activations(row) + exchanged(octet);
      if constexpr (kHalf) {
        const int scores = a_.rule.experts + kMoeSquares;
        rows[i] = row;
        squares[i] = at < all ? __ldcg(a_.scores + (row + 1) * scores - 1) : 0;
      }
      const __nv_bfloat16* from =
          static_cast<const __nv_bfloat16*>(a_.inner.x) + row * a_.inner.x_stride + octet * 8;
      x[i] = at < all ? __ldcg(reinterpret_cast<const uint4*>(from)) : uint4{};
      norm[i] = at < all && a_.norm != nullptr
                    ? __ldg(reinterpret_cast<const uint4*>(a_.norm) + octet)
                    : uint4{};
    }
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      if (first + i * threads >= all) continue;
      if constexpr (kHalf) {
        const device::HalfScale scale = half_row_scale(squares[i], most);
        *to[i] = device::half_octet(device::octet_product(x[i], norm[i]), scale.factor());
        half_units()[rows[i]] = scale.unit();  // the same of all its octets
      } else {
        if (a_.norm != nullptr) x[i] = device::octet_product(x[i], norm[i]);
        *to[i] = device::int4_order(x[i]);
      }
    }
  }
}

// Sixteen rows in bf16, which are the next four items of the block, times activations: each warp
// takes its chunks of the columns, and the sum of a team's goes to shared_sums. x(chunk, word) are
// a lane's activations; to meet no bank twice, lanes take their words in different orders.
// wait(item): until one of the items is there.
template <class Codec, bool kCoded>
template <class Activations, class Wait>
__device__ void Worker<Codec, kCoded>::multiply_quads(int inputs, int slab, const Activations& x,
                                                      const Wait& wait) {
  const int lane = lane_index();
  const int tile_row = lane / 4;
  const int chunks = inputs / kChunk;
  const std::uint8_t* rows[2];
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int quad = 2 * half + tile_row % 2;
    rows[half] = stage(Turn(items_ + quad, plan_)) + tile_row % 2 * kQuadShift +
                 tile_row / 2 * inputs * 2 + lane % 4 * 64;
  }
  float sums[4] = {};
  bool waited = false;
#pragma unroll 1
  for (int chunk = warp_index(); !waited || chunk < chunks; chunk += kMoeWarps) {
    uint4 own[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      own[i] = chunk < chunks ? x(chunk, i ^ lane % 4 / 2) : uint4{};
    }
    // All warps, whether they have columns or not: two rounds of a stage must not be mistaken.
#pragma unroll 1
    for (int quad = 0; !waited && quad < kQuads; ++quad) wait(quad);
    waited = true;
    if (chunk >= chunks) break;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      uint4 weights[2];
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const std::uint8_t* from = rows[half] + chunk * (kChunk * 2) + (i ^ lane % 4 / 2) * 16;
        weights[half] = device::int4_order(*reinterpret_cast<const uint4*>(from));
      }
      const std::uint32_t front[4] = {weights[0].x, weights[1].x, weights[0].y, weights[1].y};
      const std::uint32_t back[4] = {weights[0].z, weights[1].z, weights[0].w, weights[1].w};
      device::mma_16x8x16(sums, front, own[i].x, own[i].y);
      device::mma_16x8x16(sums, back, own[i].z, own[i].w);
    }
  }
  float total[4];
  if (team_.add(sums, total)) {  // and the team has read the stages
    shared_sums()[(slab * kMoeTeams + team_index_) * device::kWarpThreads] = {total[0], total[1],
                                                                              total[2], total[3]};
    if (lane < kQuads) device::barrier_arrive(empty_ + 8 * Turn(items_ + lane, plan_).stage);
  }
  items_ += kQuads;
}

// The same where the shared expert is coded as the others are: the next item of the block.
template <class Codec, bool kCoded>
template <class Coding, class Activations, class Wait>
__device__ void Worker<Codec, kCoded>::multiply_coded(const device::Weight& weight,
                                                      const BulkPlan& plan,
                                                      const SlabScales<Coding>& scales, int slab,
                                                      const Activations& x, const Wait& wait) {
  const Turn turn(items_, plan_);
  float sums[4] = {};
  wait(0);
  multiply_slab<Coding>(weight, plan, stage(turn), warp_index(), kMoeTeams,
                        static_cast<int>(weight.cols) / kChunk, scales, x, sums);
  float total[4];
  if (team_.add(sums, total)) {  // and the team has read the stage
    shared_sums()[(slab * kMoeTeams + team_index_) * device::kWarpThreads] = {total[0], total[1],
                                                                              total[2], total[3]};
    if (lane_index() == 0) device::barrier_arrive(empty_ + 8 * turn.stage);
  }
  ++items_;
}

// Over all teams.
template <class Codec, bool kCoded>
__device__ float4 Worker<Codec, kCoded>::shared_sum(int slab) const {
  float4 sum = {};
#pragma unroll
  for (int team = 0; team < kMoeTeams; ++team) {
    const float4 part = shared_sums()[(slab * kMoeTeams + team) * device::kWarpThreads];
    sum = {sum.x + part.x, sum.y + part.y, sum.z + part.z, sum.w + part.w};
  }
  return sum;
}

template <class Codec, bool kCoded>
__device__ void Worker<Codec, kCoded>::shared_first_half() {
  const Share share = equal_share(plan_, plan_.wide_slabs);
  const uint4* x = own_activations();
#pragma unroll 1
  for (int slab = 0; slab < share.end - share.begin; ++slab) {
    const auto octet = [&](int chunk, int word) {
      return x[chunk * kOctetsPerChunk + exchanged_word(word)];
    };
    const auto wait = [&](int item) { wait_for(Turn(items_ + item, plan_)); };
    if constexpr (kCoded) {
      const int row = (share.begin + slab) * (kSlabRows / 2);
      const SlabScales<First> scales(a_.shared_gate, row, a_.shared_up, row);
      multiply_coded<First>(a_.shared_gate, plan_.inner, scales, slab, octet, wait);
    } else {
      multiply_quads(static_cast<int>(a_.inner.inputs), slab, octet, wait);
    }
  }
  workers_meet();  // the sums of all teams are there
}

// What the shared expert has between its halves, once the norm is known.
template <class Codec, bool kCoded>
__device__ void Worker<Codec, kCoded>::store_wide() {
  const Share share = equal_share(plan_, plan_.wide_slabs);
#pragma unroll 1
  for (int slab = warp_index(); slab < share.end - share.begin; slab += kMoeWarps) {
    const float4 sum = shared_sum(slab);
    // In int4_order(), as what follows will read it: that is the order of the tile's rows.
    const int output = (share.begin + slab) * (kSlabRows / 2) + lane_index() / 4;
    const int token = 2 * (lane_index() % 4);
    __nv_bfloat16* to = a_.wide + static_cast<std::int64_t>(token) * a_.wide_inputs + output;
    const float scales[2] = {scale_of(token), scale_of(token + 1)};
    const auto put = [&](__nv_bfloat16* at, float gate, float up, float scale) {
      device::store(at, gated(gate * (gate_unit_ * scale), up * (up_unit_ * scale)));
    };
    if (token < a_.tokens) put(to, sum.x, sum.z, scales[0]);
    if (token + 1 < a_.tokens) put(to + a_.wide_inputs, sum.y, sum.w, scales[1]);
  }
  is_through(plan_, memory_, kMoeWide);
}

template <class Codec, bool kCoded>
__device__ void Worker<Codec, kCoded>::first_half_of_slab(int expert, int slab, const Turn& turn) {
  const device::Weight gate = device::weight_at(a_.inner.weight, expert);
  const device::Weight up = device::weight_at(a_.inner.up, expert);
  const auto gate_unit = First::unit(gate);
  const auto up_unit = First::unit(up);
  const int row = slab * (kSlabRows / 2);
  const SlabScales<First> scales(gate, row, up, row);
  float sums[4] = {};
  wait_for(turn);
  const uint4* x = own_activations();
  multiply_slab<First>(
      a_.inner.weight.first, plan_.inner, stage(turn), team_.warp, 1,
      plan_.octets / kOctetsPerChunk, scales,
      [&](int chunk, int word) { return x[chunk * kOctetsPerChunk + exchanged_word(word)]; }, sums);
  leave(turn);
  float total[4];
  if (!team_.add(sums, total)) return;
  const int output = slab * (kSlabRows / 2) + lane_index() / 4;  // in int4_order(), as in `wide`
#pragma unroll
  for (int e = 0; e < 2; ++e) {
    const int token = 2 * (lane_index() % 4) + e;
    if (!has(token, expert)) continue;
    const float scale = scale_of(token);
    device::store(static_cast<__nv_bfloat16*>(a_.inner.out) +
                      pair_of(token, expert) * a_.inner.out_stride + output,
                  gated(total[e] * (gate_unit * scale), total[2 + e] * (up_unit * scale)));
  }
}

template <class Codec, bool kCoded>
__device__ void Worker<Codec, kCoded>::first_halves() {
  const RoutedSlabs slabs(plan_, *routing_.count);
  int i = first_item();
#pragma unroll 1
  for (int lot = 0; lot < kMoeLots; ++lot) {
#pragma unroll 1
    for (; i < slabs.count(lot + 1); i += kMoeTeams) {
      const SlabAt at(plan_, slabs.at(i));
      first_half_of_slab(routing_.active[at.entry], at.slab, Turn(items_ + i, plan_));
    }
    is_through(plan_, memory_, kMoeLot + static_cast<unsigned>(lot));
  }
  items_ += slabs.count();
}

}  // namespace glm::kernels::cuda
