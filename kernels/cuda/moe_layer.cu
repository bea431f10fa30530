// A layer's half with experts, for few tokens: one kernel, one block per multiprocessor. Weights
// flow through a ring of stages in shared memory from the beginning to the end, while the blocks
// wait twice for each other.
//
//   servants   fetch shared experts' first half | choose | fetch first halves | fetch second halves
//   others     logits | shared first half ------------- | first halves ====== | second halves, sum
//              ...... some blocks compute logits, all wait for them
//              ====== all blocks wait for what all others have between the halves
//
// The shared expert's weights come first: they need no choice, and hide how long it takes. Of the
// second halves a block has all experts for its sixteen outputs: so it adds them itself, in the
// order of their indices, and a token's bits do not depend on the others.
//
// Blocks that wait for each other must all be there. They are: as many as multiprocessors, one on
// each, and what ran before ends without them.
#include "base/check.h"
#include "kernels/cuda/bulk_codecs.cuh"
#include "kernels/cuda/bulk_math.cuh"
#include "kernels/cuda/early_launch.h"
#include "kernels/cuda/moe_layer.h"
#include "kernels/cuda/moe_layer_routing.cuh"
#include "kernels/cuda/moe_layer_stages.cuh"

namespace glm::kernels::cuda {
namespace {

constexpr int kWorkers = kMoeWarps * device::kWarpThreads;
constexpr int kServants = kMoeServants * device::kWarpThreads;

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900

// Named barriers; the first is everybody's, and each team has one from 1 on.
constexpr int kWorkersBarrier = 1 + kMoeTeams;
constexpr int kServantsBarrier = kWorkersBarrier + 1;

// silu(gate) * up, to within three units in the last place.
__device__ float gated(float gate, float up) {
  return __fdividef(gate, 1.0F + expf(-gate)) * up;
}

__device__ void workers_meet() {
  sync_threads(kWorkersBarrier, kWorkers);
}

// A block's view of everything.
template <class Codec, int kTiles>
class Worker {
 public:
  __device__ Worker(const MoeArgs& a, const MoePlan& plan, std::uint8_t* memory)
      : a_(a),
        plan_(plan),
        memory_(memory),
        routing_(memory, plan, a.rule.experts),
        full_(device::shared_address(memory + plan.barriers_at)),
        empty_(full_ + 8 * plan.stages),
        team_{.index = warp_index() / kTeamWarps,
              .warp = warp_index() % kTeamWarps,
              .partial = reinterpret_cast<float4*>(memory + plan.partial_at) +
                         warp_index() / kTeamWarps * kBuffers * kBufferSums} {
    const int octet = static_cast<int>(threadIdx.x) % router_threads();
    if (static_cast<int>(blockIdx.x) < a.rule.experts && octet < octets()) {
      router_ = RouterOctet(a.router, blockIdx.x, octet);
    }
  }

  __device__ void run() {
    load_activations();
    workers_meet();  // activations are there
    compute_logits();
    shared_first_half();
    __syncthreads();  // the choice is known
    first_halves();
    wait_for_other_blocks();
    second_halves();
  }

 private:
  // Activations of one tile, a warp's own columns.
  static constexpr int kOwnChunks = 3;
  using Own = uint4[kOwnChunks][4];

  __device__ static int warp_index() {
    return static_cast<int>(threadIdx.x) / device::kWarpThreads;
  }
  __device__ int octets() const { return static_cast<int>(a_.inner.inputs) / 8; }
  __device__ int tile_octets() const { return octets() * kTileRows; }
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
    return (team_.index - items_ % kMoeTeams + kMoeTeams) % kMoeTeams;
  }
  __device__ bool has(int token, std::uint32_t mask) const { return (mask >> token & 1U) != 0; }
  // Which of the pairs (token, expert) this is; the token has the expert.
  __device__ int pair_of(int token, int expert) const {
    return token * a_.rule.chosen + routing_.slots[expert * kMoeTokensMax + token];
  }

  // Where the first of an expert's tokens are.
  __device__ int first_tile(int expert) const {
    return kTiles == 1 || (routing_.masks[expert] & ((1U << kTileRows) - 1)) != 0 ? 0 : 1;
  }

  __device__ void load_activations();
  __device__ void compute_logits();
  template <class Activations>
  __device__ void multiply_quads(std::int64_t inputs, int slab, const Activations& x);
  __device__ float4 shared_sum(int slab, int tile) const;
  __device__ void shared_first_half();
  template <int kAtOnce>
  __device__ void first_half_of_slab(int expert, int slab, int first_tile, const Turn& turn);
  __device__ void first_halves();
  __device__ void wait_for_other_blocks();
  __device__ const uint4* own_row(int expert, int tile) const;
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
  Team team_;
  RouterOctet router_;
  int items_ = 0;  // of the block, used up so far
};

template <class Codec, int kTiles>
__device__ void Worker<Codec, kTiles>::load_activations() {
  int row = 0;
  int octet = static_cast<int>(threadIdx.x);
#pragma unroll 4
  while (true) {
    while (octet >= octets()) {
      octet -= octets();
      ++row;
    }
    if (row >= a_.tokens) return;
    const auto* x = reinterpret_cast<const uint4*>(static_cast<const __nv_bfloat16*>(a_.inner.x) +
                                                   row * a_.inner.x_stride);
    activations()[row / kTileRows * tile_octets() + octet_place(row % kTileRows, octet)] =
        device::int4_order(__ldcg(x + octet));
    octet += kWorkers;
  }
}

template <class Codec, int kTiles>
__device__ void Worker<Codec, kTiles>::compute_logits() {
  auto* parts = reinterpret_cast<float*>(memory_ + plan_.logits_at);  // [token, warp]
  const int thread = static_cast<int>(threadIdx.x);
  const int threads = router_threads();
  const int warps = threads / device::kWarpThreads;
  int done = 0;
#pragma unroll 1
  for (int expert = static_cast<int>(blockIdx.x); expert < a_.rule.experts;
       expert += static_cast<int>(gridDim.x)) {
    if (done > 0) workers_meet();  // the parts before have been read
#pragma unroll 1
    for (int t = thread / threads; t < a_.tokens; t += kWorkers / threads) {
      const uint4* tile = activations() + t / kTileRows * tile_octets();
      float sum = 0;
#pragma unroll 1
      for (int octet = thread % threads; octet < octets(); octet += threads) {
        if (done > 0 || octets() > threads) router_ = RouterOctet(a_.router, expert, octet);
        sum += router_.times(tile[octet_place(t % kTileRows, octet)]);
      }
      sum = device::warp_sum(sum);
      if (lane_index() == 0) parts[t * kMoeWarps + warp_index() % warps] = sum;
    }
    workers_meet();  // the parts of all warps are there
    if (thread < a_.tokens) {
      float sum = 0;
#pragma unroll 4
      for (int w = 0; w < warps; ++w) sum += parts[thread * kMoeWarps + w];
      a_.logits[static_cast<std::int64_t>(thread) * a_.rule.experts + expert] = sum;
    }
    ++done;
  }
  if (done == 0 || warp_index() != 0) return;
  __syncwarp();  // the logits of all lanes are stored
  if (thread == 0) add_release(&a_.progress->routed, static_cast<std::uint32_t>(done));
}

// Sixteen rows in bf16, which are the next four items of the block, times activations: each warp
// takes its chunks of the columns, and the sum of a team's goes to shared_sums. x(chunk, tile, word)
// are a lane's activations; to meet no bank twice, lanes take their words in different orders.
template <class Codec, int kTiles>
template <class Activations>
__device__ void Worker<Codec, kTiles>::multiply_quads(std::int64_t inputs, int slab,
                                                      const Activations& x) {
  const int lane = lane_index();
  const int tile_row = lane / 4;
  const std::uint8_t* rows[2];
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int quad = 2 * half + tile_row % 2;
    rows[half] = stage(Turn(items_ + quad, plan_)) + tile_row % 2 * kQuadShift +
                 tile_row / 2 * inputs * 2 + lane % 4 * 64;
  }
  float sums[kTiles][4] = {};
  bool waited = false;
#pragma unroll 1
  for (int chunk = warp_index(); !waited || chunk < inputs / kChunk; chunk += kMoeWarps) {
    uint4 fours[kTiles][4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
#pragma unroll
      for (int tile = 0; tile < kTiles; ++tile) {
        fours[tile][i] = chunk < inputs / kChunk ? x(chunk, tile, i ^ lane % 4 / 2) : uint4{};
      }
    }
    // All warps, whether they have columns or not: two rounds of a stage must not be mistaken.
#pragma unroll 1
    for (int quad = 0; !waited && quad < kQuads; ++quad) wait_for(Turn(items_ + quad, plan_));
    waited = true;
    if (chunk >= inputs / kChunk) break;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int word = i ^ lane % 4 / 2;
      uint4 weights[2];
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        weights[half] = device::int4_order(
            *reinterpret_cast<const uint4*>(rows[half] + chunk * (kChunk * 2) + word * 16));
      }
      const std::uint32_t front[4] = {weights[0].x, weights[1].x, weights[0].y, weights[1].y};
      const std::uint32_t back[4] = {weights[0].z, weights[1].z, weights[0].w, weights[1].w};
#pragma unroll
      for (int tile = 0; tile < kTiles; ++tile) {
        const uint4& four = fours[tile][i];
        device::mma_16x8x16(sums[tile], front, four.x, four.y);
        device::mma_16x8x16(sums[tile], back, four.z, four.w);
      }
    }
  }
#pragma unroll
  for (int tile = 0; tile < kTiles; ++tile) {
    float total[4];
    if (!team_.add(sums[tile], total)) continue;
    shared_sums()[((slab * kMoeTeams + team_.index) * kTiles + tile) * device::kWarpThreads] = {
        total[0], total[1], total[2], total[3]};
    // The team has read the stages when its last sum is added.
    if (tile + 1 < kTiles || lane >= kQuads) continue;
    device::barrier_arrive(empty_ + 8 * Turn(items_ + lane, plan_).stage);
  }
  items_ += kQuads;
}

// Over all teams.
template <class Codec, int kTiles>
__device__ float4 Worker<Codec, kTiles>::shared_sum(int slab, int tile) const {
  float4 sum = {};
#pragma unroll
  for (int team = 0; team < kMoeTeams; ++team) {
    const float4 part =
        shared_sums()[((slab * kMoeTeams + team) * kTiles + tile) * device::kWarpThreads];
    sum = {sum.x + part.x, sum.y + part.y, sum.z + part.z, sum.w + part.w};
  }
  return sum;
}

template <class Codec, int kTiles>
__device__ void Worker<Codec, kTiles>::shared_first_half() {
  const Share share = equal_share(plan_, plan_.wide_slabs);
  const int chunks = static_cast<int>(a_.inner.inputs) / kChunk;
  const uint4* x_even = activations() + lane_index();
  const uint4* x_odd = activations() + (lane_index() ^ 4);
#pragma unroll 1
  for (int slab = 0; slab < share.end - share.begin; ++slab) {
    multiply_quads(a_.inner.inputs, slab, [&](int chunk, int tile, int word) {
      return (word % 2 == 0
                  ? x_even
                  : x_odd)[((tile * chunks + chunk) * 4 + word) * device::kWarpThreads];
    });
  }
  workers_meet();  // the sums of all teams are there
#pragma unroll 1
  for (int unit = warp_index(); unit < (share.end - share.begin) * kTiles; unit += kMoeWarps) {
    const int tile = unit % kTiles;
    const float4 sum = shared_sum(unit / kTiles, tile);
    const float gate[2] = {sum.x, sum.y};
    const float up[2] = {sum.z, sum.w};
    const int output =
        (share.begin + unit / kTiles) * (kSlabRows / 2) + weight_row(lane_index() / 4);
#pragma unroll
    for (int e = 0; e < 2; ++e) {
      const int token = tile * kTileRows + 2 * (lane_index() % 4) + e;
      if (token >= a_.tokens) continue;
      device::store(a_.wide + static_cast<std::int64_t>(token) * a_.wide_inputs + output,
                    gated(gate[e], up[e]));
    }
  }
}

// Of kAtOnce tiles from first_tile on.
template <class Codec, int kTiles>
template <int kAtOnce>
__device__ void Worker<Codec, kTiles>::first_half_of_slab(int expert, int slab, int first_tile,
                                                          const Turn& turn) {
  float sums[kAtOnce][4] = {};
  wait_for(turn);
  multiply<Codec>(a_.inner, plan_.inner, stage(turn), activations() + first_tile * tile_octets(),
                  team_.warp, sums);
  leave(turn);
  const float units[2] = {Codec::unit(device::weight_at(a_.inner.weight, expert)),
                          Codec::unit(device::weight_at(a_.inner.up, expert))};
  const int output = slab * (kSlabRows / 2) + weight_row(lane_index() / 4);
  const std::uint32_t mask = routing_.masks[expert];
#pragma unroll
  for (int tile = 0; tile < kAtOnce; ++tile) {
    float total[4];
    if (!team_.add(sums[tile], total)) continue;
#pragma unroll
    for (int e = 0; e < 2; ++e) {
      const int token = (first_tile + tile) * kTileRows + 2 * (lane_index() % 4) + e;
      if (!has(token, mask)) continue;
      device::store(static_cast<__nv_bfloat16*>(a_.inner.out) +
                        pair_of(token, expert) * a_.inner.out_stride + output,
                    gated(total[e] * units[0], total[2 + e] * units[1]));
    }
  }
}

template <class Codec, int kTiles>
__device__ void Worker<Codec, kTiles>::first_halves() {
  constexpr std::uint32_t kFirstTile = (1U << kTileRows) - 1;
  const Share share = routed_share(plan_, *routing_.count);
  SlabAt next(plan_, share.begin + first_item());
#pragma unroll 1
  for (int at = share.begin + first_item(); at < share.end;
       at += kMoeTeams, next.advance(plan_, kMoeTeams)) {
    const Turn turn(items_ + at - share.begin, plan_);
    const int expert = routing_.active[next.entry];
    const int slab = next.slab;
    const std::uint32_t mask = routing_.masks[expert];
    if (kTiles == 1 || mask <= kFirstTile) {
      first_half_of_slab<1>(expert, slab, 0, turn);
    } else if ((mask & kFirstTile) == 0) {
      first_half_of_slab<1>(expert, slab, 1, turn);
    } else {
      first_half_of_slab<kTiles>(expert, slab, 0, turn);
    }
  }
  items_ += share.end - share.begin;
}

template <class Codec, int kTiles>
__device__ void Worker<Codec, kTiles>::wait_for_other_blocks() {
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

// Straight from memory: few lanes have any, and all warps have their own columns. Null: none.
template <class Codec, int kTiles>
__device__ const uint4* Worker<Codec, kTiles>::own_row(int expert, int tile) const {
  const int token = tile * kTileRows + lane_index() / 4;
  if (!has(token, routing_.masks[expert])) return nullptr;
  return reinterpret_cast<const uint4*>(static_cast<const __nv_bfloat16*>(a_.outer.x) +
                                        pair_of(token, expert) * a_.outer.x_stride +
                                        team_.warp * kChunk + lane_index() % 4 * 32);
}
template <class Codec, int kTiles>
__device__ void Worker<Codec, kTiles>::load_own(Own& own, const uint4* row, int i) const {
  const bool there = row != nullptr && (team_.warp + i * kTeamWarps) * kChunk < a_.outer.inputs;
#pragma unroll
  for (int word = 0; word < 4; ++word) {
    own[i][word] =
        there ? __ldcg(row + i * kTeamWarps * kOctetsPerChunk + word) : uint4{};
  }
}

template <class Codec, int kTiles>
__device__ void Worker<Codec, kTiles>::second_half_of_shared() {
  multiply_quads(a_.wide_inputs, 0, [&](int chunk, int tile, int word) {
    const int token = tile * kTileRows + lane_index() / 4;
    const auto* x = reinterpret_cast<const uint4*>(
        a_.wide + static_cast<std::int64_t>(token) * a_.wide_inputs + chunk * kChunk +
        lane_index() % 4 * 32);
    return token < a_.tokens ? device::int4_order(__ldcg(x + word)) : uint4{};
  });
}

// Of the first expert that second_half_of_experts() will take.
template <class Codec, int kTiles>
__device__ void Worker<Codec, kTiles>::load_first_own(Own& own) const {
  if (first_item() >= *routing_.count) return;
  const int expert = routing_.active[first_item()];
  const uint4* row = own_row(expert, first_tile(expert));
#pragma unroll
  for (int i = 0; i < kOwnChunks; ++i) load_own(own, row, i);
}

// What comes next is read as soon as its registers are free.
template <class Codec, int kTiles>
__device__ void Worker<Codec, kTiles>::second_half_of_experts(Own& own) {
  const int count = *routing_.count;
  const int first = items_;
  int entry = first_item();
  items_ += count;
  if (entry >= count) return;
  int expert = routing_.active[entry];
  int tile = first_tile(expert);
#pragma unroll 1
  while (true) {
    const bool again = kTiles > 1 && tile == 0 && routing_.masks[expert] >> kTileRows != 0;
    const int next_entry = again ? entry : entry + kMoeTeams;
    const bool last = next_entry >= count;
    const int next = last ? expert : routing_.active[next_entry];
    const int next_tile = again ? 1 : first_tile(next);
    const uint4* next_row = last ? nullptr : own_row(next, next_tile);
    const Turn turn(first + entry, plan_);
    float sums[1][4] = {};
    wait_for(turn);
#pragma unroll
    for (int i = 0; i < kOwnChunks; ++i) {
      const int chunk = team_.warp + i * kTeamWarps;
      if (chunk * kChunk < a_.outer.inputs) {
        multiply_chunk<Codec>(
            a_.outer.weight.first, plan_.outer, stage(turn), chunk,
            [&](int, int word) { return device::int4_order(own[i][word]); }, sums);
      }
      load_own(own, next_row, i);
    }
    if (!again) leave(turn);
    float total[4];
    if (team_.add(sums[0], total)) {
      const float unit = Codec::unit(device::weight_at(a_.outer.weight, expert));
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        const int token = tile * kTileRows + 2 * (lane_index() % 4) + e;
        if (!has(token, routing_.masks[expert])) continue;
        float* to =
            totals() + pair_of(token, expert) * kSlabRows + weight_row(lane_index() / 4);
        to[0] = total[e] * unit;
        to[kSlabRows / 2] = total[2 + e] * unit;
      }
    }
    if (last) return;
    entry = next_entry;
    expert = next;
    tile = next_tile;
  }
}

template <class Codec, int kTiles>
__device__ void Worker<Codec, kTiles>::store_outputs(int slab) {
  const int chosen = a_.rule.chosen;
  const auto* shared = reinterpret_cast<const float*>(memory_ + plan_.shared_at);
#pragma unroll 1
  for (int at = static_cast<int>(threadIdx.x); at < a_.tokens * kSlabRows; at += kWorkers) {
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
    const int lane = 4 * tile_row + token % kTileRows / 2;
    const int element = o / (kSlabRows / 2) * 2 + token % 2;
    float of_shared = 0;
#pragma unroll
    for (int team = 0; team < kMoeTeams; ++team) {
      of_shared +=
          shared[((team * kTiles + token / kTileRows) * device::kWarpThreads + lane) * 4 + element];
    }
    device::store(a_.out + token * a_.out_stride + slab * kSlabRows + o, sum + of_shared);
  }
}

template <class Codec, int kTiles>
__device__ void Worker<Codec, kTiles>::second_halves() {
  const Share share = equal_share(plan_, plan_.hidden_slabs);
#pragma unroll 1
  for (int slab = share.begin; slab < share.end; ++slab) {
    Own own;
    if (kTiles == 1) load_first_own(own);  // two tiles need the registers
    second_half_of_shared();
    if (kTiles > 1) load_first_own(own);
    second_half_of_experts(own);
    workers_meet();  // the sums of all experts are there
    store_outputs(slab);
    if (slab + 1 < share.end) workers_meet();  // and have been read
  }
}

// Logits are wanted first, and what comes before in the queue of the memory delays them: so no block
// asks for other weights until it has seen a row of the router.
__device__ void wait_for_router(const MoeArgs& a) {
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

// The warps that fetch weights (the first of them) and choose experts (all).
template <class Codec>
__device__ void serve(const MoeArgs& a, const MoePlan& plan, std::uint8_t* memory) {
  const int servant = static_cast<int>(threadIdx.x) / device::kWarpThreads - kMoeWarps;
  const MoeRouting routing(memory, plan, a.rule.experts);
  auto* bias = reinterpret_cast<float*>(memory + plan.bias_at);
  Fetcher fetcher(plan, memory);
  if (servant == 0) {
    wait_for_router(a);
    fetch_shared_first_half(a, plan, fetcher);
  }
  RouterRule rule = a.rule;
#pragma unroll 1
  for (int e = static_cast<int>(threadIdx.x) - kWorkers; e < rule.experts; e += kServants) {
    routing.masks[e] = 0;
    if (rule.bias != nullptr) bias[e] = rule.bias[e];
  }
  if (rule.bias != nullptr) rule.bias = bias;
  device::wait_for_earlier_kernels();
  if (servant == 0 && lane_index() == 0) {
    wait_until(&a.progress->routed, static_cast<std::uint32_t>(a.rule.experts));
  }
  sync_threads(kServantsBarrier, kServants);  // masks are empty, logits can be read
  std::uint8_t* scratch = memory + plan.scratch_at + static_cast<unsigned>(servant) * plan.scratch;
#pragma unroll 1
  for (int token = servant; token < a.tokens; token += kMoeServants) {
    choose_for(a, rule, routing, token, scratch);
    __syncwarp();  // nobody still uses the scratch memory
  }
  sync_threads(kServantsBarrier, kServants);  // all have chosen
  if (servant == 0) list_active(routing, a.rule.experts);
  __syncthreads();  // the choice is known
  if (servant != 0) return;
  fetch_first_half<Codec::kParts>(a, plan, routing.active, *routing.count, fetcher);
  if (plan.drain) fetcher.drain();
  fetch_second_half<Codec::kParts>(a, plan, routing.active, *routing.count, fetcher);
}

#endif

template <class Codec, int kTiles>
__global__ void __launch_bounds__(kWorkers + kServants, 1)
    moe_layer_kernel(const __grid_constant__ MoeArgs a, const __grid_constant__ MoePlan plan) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  extern __shared__ __align__(128) std::uint8_t memory[];
  if (threadIdx.x == 0) {
    const std::uint32_t full = device::shared_address(memory + plan.barriers_at);
#pragma unroll 1
    for (int i = 0; i < plan.stages; ++i) {
      device::barrier_set_up(full + 8 * i, 1);
      device::barrier_set_up(full + 8 * (plan.stages + i), kTeamWarps);
    }
    device::barriers_are_set_up();
  }
  __syncthreads();  // barriers are set up
  if (threadIdx.x >= kWorkers) return serve<Codec>(a, plan, memory);
  Worker<Codec, kTiles> worker(a, plan, memory);  // reads of the router
  device::wait_for_earlier_kernels();
  device::let_later_kernels_start();
  worker.run();
#endif
}

template <class Codec, int kTiles>
cudaError_t launch(const MoeArgs& a, const MoePlan& plan, unsigned blocks, cudaStream_t stream) {
  const auto kernel = &moe_layer_kernel<Codec, kTiles>;
  if (const cudaError_t code = cudaFuncSetAttribute(
          kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(plan.total));
      code != cudaSuccess) {
    return code;
  }
  return launch_early(
      {.grid = blocks, .threads = kWorkers + kServants, .shared_bytes = plan.total}, kernel, stream,
      a, plan);
}

template <class Codec>
cudaError_t launch(const MoeArgs& a, const MoePlan& plan, unsigned blocks, cudaStream_t stream) {
  return a.tokens <= kTileRows ? launch<Codec, 1>(a, plan, blocks, stream)
                               : launch<Codec, 2>(a, plan, blocks, stream);
}

}  // namespace

cudaError_t launch_moe_layer(const MoeLayer& a, const MoeWorkspace& space, cudaStream_t stream) {
  const std::optional<MoeArgs> args = moe_args(a, space);
  if (!args) return cudaErrorNotSupported;
  const BulkLimits limits = bulk_limits();
  const std::optional<MoePlan> plan = moe_plan(*args, limits);
  if (!plan) return cudaErrorNotSupported;
  const auto blocks = static_cast<unsigned>(limits.multiprocessors);
  if (is_fast_fp4(args->inner)) return launch<BulkFp4>(*args, *plan, blocks, stream);
  return args->inner.weight.first.zeros != nullptr
             ? launch<BulkInt4<true>>(*args, *plan, blocks, stream)
             : launch<BulkInt4<false>>(*args, *plan, blocks, stream);
}

}  // namespace glm::kernels::cuda
