// The warps of moe_layer.cu that multiply: from the activations to what is between the halves. The
// rest is in moe_layer_second_half.cuh.
#pragma once

#include "kernels/cuda/moe_layer_routing.cuh"
#include "kernels/cuda/moe_layer_stages.cuh"
#include "kernels/cuda/moe_layer_warps.cuh"

namespace glm::kernels::cuda {

// A block's view of everything.
template <class Codec>
class Worker {
 public:
  // After so many items of the block, all of the shared expert's first half.
  __device__ Worker(const MoeArgs& a, const MoePlan& plan, std::uint8_t* memory, int items)
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
              .turn = static_cast<unsigned>(items) / kQuads},
        items_(items) {}

  // The router's weights depend on nothing.
  __device__ void ask_for_router() {
    const int octet = static_cast<int>(threadIdx.x) % router_threads();
    if (static_cast<int>(blockIdx.x) < a_.rule.experts && octet < octets()) {
      router_ = RouterOctet(a_.router, blockIdx.x, octet);
    }
  }
  __device__ void before_choice() {
    load_activations();
    workers_meet();  // activations are there
    compute_logits();
    const bool chooses = a_.tokens > kChooserWarps;
    constexpr Choosers kThese{.warps = kMoeWarps};
    if (chooses) load_bias(a_, plan_, memory_, kThese);
    shared_first_half();
    if (chooses) choose(a_, plan_, memory_, kThese);
  }
  __device__ void after_choice() {
    first_halves();
    wait_for_other_blocks();
    second_halves();
  }

 private:
  // Activations of one tile, a warp's own columns.
  static constexpr int kOwnChunks = kMoeOwnChunks;
  using Own = uint4[kOwnChunks][4];

  __device__ static int warp_index() {
    return static_cast<int>(threadIdx.x) / device::kWarpThreads;
  }
  __device__ int octets() const { return static_cast<int>(a_.inner.inputs) / 8; }
  // How many threads share out the columns of the router; whole warps, and the others have other
  // tokens.
  __device__ int router_threads() const {
    int threads = kWorkers;
    while (threads / 2 >= octets()) threads /= 2;
    return threads < device::kWarpThreads ? device::kWarpThreads : threads;
  }
  __device__ uint4* activations() const { return reinterpret_cast<uint4*>(memory_); }
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
  __device__ bool has(int token, int expert) const {
    return (routing_.masks[expert] >> token & 1U) != 0;
  }
  // Which of the pairs (token, expert) this is; the token has the expert.
  __device__ int pair_of(int token, int expert) const {
    return token * a_.rule.chosen + routing_.slots[expert * kMoeTokensMax + token];
  }

  __device__ void load_activations();
  __device__ void compute_logits();
  template <class Activations>
  __device__ void multiply_quads(int inputs, int slab, const Activations& x);
  __device__ float4 shared_sum(int slab) const;
  __device__ void shared_first_half();
  __device__ void first_half_of_slab(int expert, int slab, const Turn& turn);
  __device__ void first_halves();
  __device__ void wait_for_other_blocks();
  __device__ const uint4* own_row(int expert) const;
  __device__ void load_own(Own& own, const uint4* row, int i) const;
  __device__ void second_half_of_shared();
  __device__ void load_first_own(Own& own) const;
  __device__ void second_half_of_experts(Own& own);
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
  RouterOctet router_;
  int items_;  // of the block, used up so far
};

template <class Codec>
__device__ void Worker<Codec>::load_activations() {
  constexpr int kAtOnce = 4;
  const int all = a_.tokens * octets();
#pragma unroll 1
  for (int first = static_cast<int>(threadIdx.x); first < all; first += kAtOnce * kWorkers) {
    uint4 x[kAtOnce];
    int places[kAtOnce];
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      const int at = first + i * kWorkers;
      const auto row =
          static_cast<int>(multiplied_high(static_cast<unsigned>(at), plan_.by_octets));
      const int octet = at - row * octets();
      places[i] = octet_place(row, octet);
      const __nv_bfloat16* from =
          static_cast<const __nv_bfloat16*>(a_.inner.x) + row * a_.inner.x_stride + octet * 8;
      x[i] = at < all ? __ldcg(reinterpret_cast<const uint4*>(from)) : uint4{};
    }
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      if (first + i * kWorkers < all) activations()[places[i]] = device::int4_order(x[i]);
    }
  }
}

template <class Codec>
__device__ void Worker<Codec>::compute_logits() {
  constexpr int kAtOnce = 4;
  auto* parts = reinterpret_cast<float*>(memory_ + plan_.logits_at);  // [token, warp]
  const int thread = static_cast<int>(threadIdx.x);
  const int threads = router_threads();
  const int groups = kWorkers / threads;
  int done = 0;
#pragma unroll 1
  for (int expert = static_cast<int>(blockIdx.x); expert < a_.rule.experts;
       expert += static_cast<int>(gridDim.x)) {
    if (done > 0) workers_meet();  // the parts before have been read
#pragma unroll 1
    for (int first = thread / threads; first < a_.tokens; first += kAtOnce * groups) {
      float sums[kAtOnce] = {};
#pragma unroll 1
      for (int octet = thread % threads; octet < octets(); octet += threads) {
        if (done > 0 || octets() > threads) router_ = RouterOctet(a_.router, expert, octet);
#pragma unroll
        for (int i = 0; i < kAtOnce; ++i) {
          const int token = first + i * groups;
          if (token < a_.tokens) {
            sums[i] += router_.times(activations()[octet_place(token, octet)]);
          }
        }
      }
#pragma unroll
      for (int offset = device::kWarpThreads / 2; offset > 0; offset /= 2) {
#pragma unroll
        for (int i = 0; i < kAtOnce; ++i) sums[i] += __shfl_xor_sync(kFullWarp, sums[i], offset);
      }
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i) {
        const int token = first + i * groups;
        if (lane_index() == 0 && token < a_.tokens) {
          parts[token * kMoeWarps + warp_index() % (threads / device::kWarpThreads)] = sums[i];
        }
      }
    }
    workers_meet();  // the parts of all warps are there
    if (thread < a_.tokens) {
      float sum = 0;
#pragma unroll 4
      for (int w = 0; w < threads / device::kWarpThreads; ++w) {
        sum += parts[thread * kMoeWarps + w];
      }
      a_.logits[static_cast<std::int64_t>(thread) * a_.rule.experts + expert] = sum;
    }
    ++done;
  }
  if (done == 0 || warp_index() != 0) return;
  __syncwarp();  // the logits of all lanes are stored
  if (thread == 0) add_release(&a_.progress->routed, static_cast<std::uint32_t>(done));
}

// Sixteen rows in bf16, which are the next four items of the block, times activations: each warp
// takes its chunks of the columns, and the sum of a team's goes to shared_sums. x(chunk, word) are
// a lane's activations; to meet no bank twice, lanes take their words in different orders.
template <class Codec>
template <class Activations>
__device__ void Worker<Codec>::multiply_quads(int inputs, int slab, const Activations& x) {
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
    for (int quad = 0; !waited && quad < kQuads; ++quad) wait_for(Turn(items_ + quad, plan_));
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

// Over all teams.
template <class Codec>
__device__ float4 Worker<Codec>::shared_sum(int slab) const {
  float4 sum = {};
#pragma unroll
  for (int team = 0; team < kMoeTeams; ++team) {
    const float4 part = shared_sums()[(slab * kMoeTeams + team) * device::kWarpThreads];
    sum = {sum.x + part.x, sum.y + part.y, sum.z + part.z, sum.w + part.w};
  }
  return sum;
}

template <class Codec>
__device__ void Worker<Codec>::shared_first_half() {
  const Share share = equal_share(plan_, plan_.wide_slabs);
  const uint4* x = activations();
#pragma unroll 1
  for (int slab = 0; slab < share.end - share.begin; ++slab) {
    multiply_quads(static_cast<int>(a_.inner.inputs), slab, [&](int chunk, int word) {
      return x[(chunk * 4 + word) * device::kWarpThreads + (lane_index() ^ word % 2 * 4)];
    });
  }
  workers_meet();  // the sums of all teams are there
#pragma unroll 1
  for (int slab = warp_index(); slab < share.end - share.begin; slab += kMoeWarps) {
    const float4 sum = shared_sum(slab);
    const int output = (share.begin + slab) * (kSlabRows / 2) + weight_row(lane_index() / 4);
    const int token = 2 * (lane_index() % 4);
    __nv_bfloat16* to = a_.wide + static_cast<std::int64_t>(token) * a_.wide_inputs + output;
    if (token < a_.tokens) device::store(to, gated(sum.x, sum.z));
    if (token + 1 < a_.tokens) device::store(to + a_.wide_inputs, gated(sum.y, sum.w));
  }
}

template <class Codec>
__device__ void Worker<Codec>::first_half_of_slab(int expert, int slab, const Turn& turn) {
  float sums[1][4] = {};
  wait_for(turn);
  multiply<Codec>(a_.inner, plan_.inner, stage(turn), activations(), team_.warp, sums);
  leave(turn);
  float total[4];
  if (!team_.add(sums[0], total)) return;
  const float units[2] = {Codec::unit(device::weight_at(a_.inner.weight, expert)),
                          Codec::unit(device::weight_at(a_.inner.up, expert))};
  const int output = slab * (kSlabRows / 2) + weight_row(lane_index() / 4);
#pragma unroll
  for (int e = 0; e < 2; ++e) {
    const int token = 2 * (lane_index() % 4) + e;
    if (!has(token, expert)) continue;
    device::store(static_cast<__nv_bfloat16*>(a_.inner.out) +
                      pair_of(token, expert) * a_.inner.out_stride + output,
                  gated(total[e] * units[0], total[2 + e] * units[1]));
  }
}

template <class Codec>
__device__ void Worker<Codec>::first_halves() {
  const Share share = routed_share(plan_, *routing_.count);
  SlabAt next(plan_, share.begin + first_item());
#pragma unroll 1
  for (int at = share.begin + first_item(); at < share.end;
       at += kMoeTeams, next.advance(plan_, kMoeTeams)) {
    first_half_of_slab(routing_.active[next.entry], next.slab,
                       Turn(items_ + at - share.begin, plan_));
  }
  items_ += share.end - share.begin;
}

template <class Codec>
__device__ void Worker<Codec>::wait_for_other_blocks() {
  workers_meet();  // all threads have stored what is between the halves
  if (threadIdx.x == 0) {
    MoeProgress* progress = a_.progress;
    add_release(&progress->halves, 1);
    wait_until(&progress->halves, gridDim.x);
    // The last one finds that nobody waits any more.
    if (atomicAdd(&progress->passed, 1U) + 1 == gridDim.x) *progress = {};
  }
  workers_meet();  // what is between the halves can be read
}

}  // namespace glm::kernels::cuda
