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

__device__ void workers_meet() {
  sync_threads(kWorkersBarrier, kWorkers);
}

// sums += sixteen rows in bf16 * activations, over one chunk of the columns of a piece. To meet no
// bank twice, lanes take the four octets of their columns in different orders: x(i) are the
// activations of octet octet_at(i).
__device__ int octet_at(int i) {
  return i ^ lane_index() % 4 / 2;
}
template <class Activations>
__device__ void multiply_piece(const std::uint8_t* stage, int chunk, const Activations& x,
                               float (&sums)[4]) {
  const int lane = lane_index();
  const std::uint8_t* row = stage + static_cast<unsigned>(lane / 4) * kPieceRowBytes +
                            static_cast<unsigned>(chunk) * (kChunk * 2) + lane % 4 * 64;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const std::uint8_t* from = row + octet_at(i) * 16;
    const uint4 first = device::int4_order(*reinterpret_cast<const uint4*>(from));
    const uint4 second =
        device::int4_order(*reinterpret_cast<const uint4*>(from + 8 * kPieceRowBytes));
    const uint4 four = x(i);
    const std::uint32_t front[4] = {first.x, second.x, first.y, second.y};
    const std::uint32_t back[4] = {first.z, second.z, first.w, second.w};
    device::mma_16x8x16(sums, front, four.x, four.y);
    device::mma_16x8x16(sums, back, four.z, four.w);
  }
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
                         warp_index() / kTeamWarps * kBuffers * kBufferSums},
        turn_{.stage = team_.index, .parity = 0},
        next_(team_.index) {}

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
  __device__ static int warp_index() {
    return static_cast<int>(threadIdx.x) / device::kWarpThreads;
  }
  __device__ uint4* activations() const { return reinterpret_cast<uint4*>(memory_); }
  __device__ float4* pieces() const {
    return reinterpret_cast<float4*>(memory_ + plan_.pieces_at) + lane_index();
  }
  __device__ float* totals() const { return reinterpret_cast<float*>(memory_ + plan_.totals_at); }
  __device__ const std::uint8_t* stage() const {
    return memory_ + plan_.stages_at + static_cast<unsigned>(turn_.stage) * plan_.stage;
  }
  __device__ void wait_for_stage() const {
    device::barrier_wait(full_ + 8 * turn_.stage, turn_.parity);
  }
  // The stage of the team's present item may be filled again.
  __device__ void leave_stage() {
    __syncwarp();  // all lanes have read it
    if (lane_index() == 0) device::barrier_arrive(empty_ + 8 * turn_.stage);
    turn_.advance(kMoeTeams, plan_.stages);
    next_ += kMoeTeams;
  }
  // Which of the pairs (token, expert) this is; the token has the expert.
  __device__ int pair_of(int token, int expert) const {
    const int chosen = a_.rule.chosen;
    int pair = token * chosen;
    for (int j = 0; j < chosen; ++j) {
      if (routing_.ids[token * chosen + j] == expert) pair = token * chosen + j;
    }
    return pair;
  }

  __device__ void load_activations();
  __device__ void compute_logits();
  __device__ void shared_first_half();
  __device__ void first_halves();
  __device__ void wait_for_other_blocks();
  __device__ void second_halves();
  template <int kAtOnce>
  __device__ void first_half_of_slab(int expert, int slab, int first_tile);
  __device__ void second_half_of_slab(int expert, int tile);
  __device__ void second_half_of_piece(int piece, int tile);
  __device__ void store_outputs(int slab);

  const MoeArgs& a_;
  const MoePlan& plan_;
  std::uint8_t* memory_;
  MoeRouting routing_;
  std::uint32_t full_;
  std::uint32_t empty_;
  Team team_;
  Turn turn_;  // of the team's next item
  int next_;   // its number
};

template <class Codec, int kTiles>
__device__ void Worker<Codec, kTiles>::load_activations() {
  const int octets = static_cast<int>(a_.inner.inputs) / 8;
  for (int row = 0; row < a_.tokens; ++row) {
    const auto* x = reinterpret_cast<const uint4*>(static_cast<const __nv_bfloat16*>(a_.inner.x) +
                                                   row * a_.inner.x_stride);
    uint4* tile = activations() + row / kTileRows * (octets * kTileRows);
    for (int octet = static_cast<int>(threadIdx.x); octet < octets; octet += kWorkers) {
      tile[octet_place(row % kTileRows, octet)] = device::int4_order(__ldcg(x + octet));
    }
  }
}

template <class Codec, int kTiles>
__device__ void Worker<Codec, kTiles>::compute_logits() {
  auto* parts = reinterpret_cast<float*>(memory_ + plan_.logits_at);  // [warp, token]
  const int octets = static_cast<int>(a_.inner.inputs) / 8;
  const int thread = static_cast<int>(threadIdx.x);
  int done = 0;
  for (int expert = static_cast<int>(blockIdx.x); expert < a_.rule.experts;
       expert += static_cast<int>(gridDim.x)) {
    float sums[kTiles * kTileRows] = {};
    for (int octet = thread; octet < octets; octet += kWorkers) {
      const RouterOctet weights(a_.router, expert, octet);
#pragma unroll
      for (int t = 0; t < kTiles * kTileRows; ++t) {
        if (t >= a_.tokens) break;
        const uint4* tile = activations() + t / kTileRows * (octets * kTileRows);
        sums[t] += weights.times(tile[octet_place(t % kTileRows, octet)]);
      }
    }
    if (done > 0) workers_meet();  // the parts before have been read
#pragma unroll
    for (int t = 0; t < kTiles * kTileRows; ++t) {
      if (t >= a_.tokens) break;
      const float sum = device::warp_sum(sums[t]);
      if (lane_index() == 0) parts[warp_index() * kTiles * kTileRows + t] = sum;
    }
    workers_meet();  // the parts of all warps are there
    if (thread < a_.tokens) {
      float sum = 0;
      for (int w = 0; w < kMoeWarps; ++w) sum += parts[w * kTiles * kTileRows + thread];
      a_.logits[static_cast<std::int64_t>(thread) * a_.rule.experts + expert] = sum;
    }
    ++done;
  }
  if (done == 0 || warp_index() != 0) return;
  __syncwarp();  // the logits of all lanes are stored
  if (thread == 0) add_release(&a_.progress->routed, static_cast<std::uint32_t>(done));
}

template <class Codec, int kTiles>
__device__ void Worker<Codec, kTiles>::shared_first_half() {
  const Share share = wide_share(plan_);
  const int items = (share.end - share.begin) * plan_.inner_pieces;
  const int chunks = static_cast<int>(a_.inner.inputs) / kChunk;
  while (next_ < items) {
    const int item = next_;
    const int first_chunk = item % plan_.inner_pieces * (kPieceColumns / kChunk);
    float sums[kTiles][4] = {};
    wait_for_stage();
#pragma unroll
    for (int tile = 0; tile < kTiles; ++tile) {
      const uint4* x = activations() +
                       (tile * chunks + first_chunk + team_.warp) * 4 * device::kWarpThreads;
      multiply_piece(
          stage(), team_.warp,
          [&](int i) {
            const int word = octet_at(i);
            return x[word * device::kWarpThreads + (lane_index() ^ word % 2 * 4)];
          },
          sums[tile]);
    }
    leave_stage();
#pragma unroll
    for (int tile = 0; tile < kTiles; ++tile) {
      float total[4];
      if (!team_.add(sums[tile], total)) continue;
      pieces()[(item * kTiles + tile) * device::kWarpThreads] = {total[0], total[1], total[2],
                                                                 total[3]};
    }
  }
  workers_meet();  // all pieces are there
  for (int unit = warp_index(); unit < (share.end - share.begin) * kTiles; unit += kMoeWarps) {
    const int slab = unit / kTiles;
    const int tile = unit % kTiles;
    float4 sum = {};
    for (int piece = 0; piece < plan_.inner_pieces; ++piece) {
      const float4 part =
          pieces()[((slab * plan_.inner_pieces + piece) * kTiles + tile) * device::kWarpThreads];
      sum = {sum.x + part.x, sum.y + part.y, sum.z + part.z, sum.w + part.w};
    }
    const float gate[2] = {sum.x, sum.y};
    const float up[2] = {sum.z, sum.w};
    const int output = (share.begin + slab) * (kSlabRows / 2) + weight_row(lane_index() / 4);
#pragma unroll
    for (int e = 0; e < 2; ++e) {
      const int token = tile * kTileRows + 2 * (lane_index() % 4) + e;
      if (token >= a_.tokens) continue;
      device::store(a_.wide + static_cast<std::int64_t>(token) * a_.wide_inputs + output,
                    silu(gate[e]) * up[e]);
    }
  }
  next_ -= items;
}

// Of kAtOnce tiles from first_tile on.
template <class Codec, int kTiles>
template <int kAtOnce>
__device__ void Worker<Codec, kTiles>::first_half_of_slab(int expert, int slab, int first_tile) {
  const int tile_octets = static_cast<int>(a_.inner.inputs) / 8 * kTileRows;
  float sums[kAtOnce][4] = {};
  wait_for_stage();
  multiply<Codec>(a_.inner, plan_.inner, stage(), activations() + first_tile * tile_octets,
                  team_.warp, sums);
  leave_stage();
  const float units[2] = {Codec::unit(device::weight_at(a_.inner.weight, expert)),
                          Codec::unit(device::weight_at(a_.inner.up, expert))};
  const int output = slab * (kSlabRows / 2) + weight_row(lane_index() / 4);
#pragma unroll
  for (int tile = 0; tile < kAtOnce; ++tile) {
    float total[4];
    if (!team_.add(sums[tile], total)) continue;
#pragma unroll
    for (int e = 0; e < 2; ++e) {
      const int token = (first_tile + tile) * kTileRows + 2 * (lane_index() % 4) + e;
      if ((routing_.masks[expert] >> token & 1U) == 0) continue;
      put(a_.inner, pair_of(token, expert), 0, output,
          silu(total[e] * units[0]) * (total[2 + e] * units[1]));
    }
  }
}

template <class Codec, int kTiles>
__device__ void Worker<Codec, kTiles>::first_halves() {
  constexpr std::uint32_t kFirstTile = (1U << kTileRows) - 1;
  const Share share = routed_share(plan_, *routing_.count);
  const int items = share.end - share.begin;
  while (next_ < items) {
    const int at = share.begin + next_;
    const int expert = routing_.active[at / plan_.inner.slabs];
    const int slab = at % plan_.inner.slabs;
    const std::uint32_t mask = routing_.masks[expert];
    if (kTiles == 1 || mask <= kFirstTile) {
      first_half_of_slab<1>(expert, slab, 0);
    } else if ((mask & kFirstTile) == 0) {
      first_half_of_slab<1>(expert, slab, 1);
    } else {
      first_half_of_slab<kTiles>(expert, slab, 0);
    }
  }
  next_ -= items;
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

// Activations straight from memory: few lanes have any, and all warps have their own columns.
template <class Codec, int kTiles>
__device__ void Worker<Codec, kTiles>::second_half_of_slab(int expert, int tile) {
  constexpr int kChunksAtOnce = 3;
  const int lane = lane_index();
  const int chunks = static_cast<int>(a_.outer.inputs) / kChunk;
  const int token = tile * kTileRows + lane / 4;
  const bool mine = (routing_.masks[expert] >> token & 1U) != 0;
  const auto* x = reinterpret_cast<const uint4*>(
      static_cast<const __nv_bfloat16*>(a_.outer.x) +
      (mine ? pair_of(token, expert) : 0) * a_.outer.x_stride + lane % 4 * 32);
  float sums[1][4] = {};
  for (int first = team_.warp; first < chunks; first += kChunksAtOnce * kTeamWarps) {
    uint4 own[kChunksAtOnce][4];
#pragma unroll
    for (int i = 0; i < kChunksAtOnce; ++i) {
      const int chunk = first + i * kTeamWarps;
#pragma unroll
      for (int word = 0; word < 4; ++word) {
        own[i][word] = mine && chunk < chunks ? __ldcg(x + chunk * kOctetsPerChunk + word)
                                              : uint4{};
      }
    }
    wait_for_stage();
#pragma unroll
    for (int i = 0; i < kChunksAtOnce; ++i) {
      const int chunk = first + i * kTeamWarps;
      if (chunk >= chunks) break;
      multiply_chunk<Codec>(
          a_.outer.weight.first, plan_.outer, stage(), chunk,
          [&](int, int word) { return device::int4_order(own[i][word]); }, sums);
    }
  }
  float total[4];
  if (!team_.add(sums[0], total)) return;
  const float unit = Codec::unit(device::weight_at(a_.outer.weight, expert));
#pragma unroll
  for (int e = 0; e < 2; ++e) {
    const int n = tile * kTileRows + 2 * (lane % 4) + e;
    if ((routing_.masks[expert] >> n & 1U) == 0) continue;
    float* to = totals() + pair_of(n, expert) * kSlabRows + weight_row(lane / 4);
    to[0] = total[e] * unit;
    to[kSlabRows / 2] = total[2 + e] * unit;
  }
}

template <class Codec, int kTiles>
__device__ void Worker<Codec, kTiles>::second_half_of_piece(int piece, int tile) {
  const int lane = lane_index();
  const int token = tile * kTileRows + lane / 4;
  const auto* x = reinterpret_cast<const uint4*>(
      a_.wide + static_cast<std::int64_t>(token) * a_.wide_inputs + piece * kPieceColumns +
      team_.warp * kChunk + lane % 4 * 32);
  uint4 own[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    own[i] = token < a_.tokens ? __ldcg(x + octet_at(i)) : uint4{};
  }
  wait_for_stage();
  float sums[4] = {};
  multiply_piece(stage(), team_.warp, [&](int i) { return device::int4_order(own[i]); }, sums);
  float total[4];
  if (!team_.add(sums, total)) return;
  pieces()[(piece * kTiles + tile) * device::kWarpThreads] = {total[0], total[1], total[2],
                                                              total[3]};
}

template <class Codec, int kTiles>
__device__ void Worker<Codec, kTiles>::store_outputs(int slab) {
  const int chosen = a_.rule.chosen;
  const auto* pieces = reinterpret_cast<const float*>(memory_ + plan_.pieces_at);
  for (int at = static_cast<int>(threadIdx.x); at < a_.tokens * kSlabRows; at += kWorkers) {
    const int token = at / kSlabRows;
    const int o = at % kSlabRows;
    float sum = 0;
    for (int step = 0; step < chosen; ++step) {
      const int pair = token * chosen + routing_.order[token * chosen + step];
      sum += routing_.weights[pair] * totals()[pair * kSlabRows + o];
    }
    // Where a lane of the tensor-core tile left it.
    const int tile_row = o % kQuadRows * 2 + o % (kSlabRows / 2) / kQuadRows;
    const int lane = 4 * tile_row + token % kTileRows / 2;
    const int element = o / (kSlabRows / 2) * 2 + token % 2;
    float shared = 0;
    for (int piece = 0; piece < plan_.outer_pieces; ++piece) {
      shared += pieces[((piece * kTiles + token / kTileRows) * device::kWarpThreads + lane) * 4 +
                       element];
    }
    device::store(a_.out + token * a_.out_stride + slab * kSlabRows + o, sum + shared);
  }
}

template <class Codec, int kTiles>
__device__ void Worker<Codec, kTiles>::second_halves() {
  const Share share = hidden_share(plan_);
  const int items = plan_.outer_pieces + *routing_.count;
  for (int slab = share.begin; slab < share.end; ++slab) {
    while (next_ < items) {
      const int entry = next_ - plan_.outer_pieces;
      const int expert = entry < 0 ? 0 : routing_.active[entry];
      const std::uint32_t mask = entry < 0 ? (1U << a_.tokens) - 1 : routing_.masks[expert];
      for (int tile = 0; tile < kTiles; ++tile) {
        if ((mask >> tile * kTileRows & ((1U << kTileRows) - 1)) == 0) continue;
        if (entry < 0) {
          second_half_of_piece(next_, tile);
        } else {
          second_half_of_slab(expert, tile);
        }
      }
      leave_stage();
    }
    next_ -= items;
    workers_meet();  // the sums of all experts are there
    store_outputs(slab);
    if (slab + 1 < share.end) workers_meet();  // and have been read
  }
}

// The warps that fetch weights (the first of them) and choose experts (all).
template <class Codec>
__device__ void serve(const MoeArgs& a, const MoePlan& plan, std::uint8_t* memory) {
  const int servant = static_cast<int>(threadIdx.x) / device::kWarpThreads - kMoeWarps;
  const MoeRouting routing(memory, plan, a.rule.experts);
  Fetcher fetcher(plan, memory);
  if (servant == 0) fetch_shared_first_half(a, plan, fetcher);
  for (int e = static_cast<int>(threadIdx.x) - kWorkers; e < a.rule.experts; e += kServants) {
    routing.masks[e] = 0;
  }
  device::wait_for_earlier_kernels();
  if (servant == 0 && lane_index() == 0) {
    wait_until(&a.progress->routed, static_cast<std::uint32_t>(a.rule.experts));
  }
  sync_threads(kServantsBarrier, kServants);  // masks are empty, logits can be read
  std::uint8_t* scratch = memory + plan.scratch_at + static_cast<unsigned>(servant) * plan.scratch;
  for (int token = servant; token < a.tokens; token += kMoeServants) {
    choose_for(a, routing, token, scratch);
    __syncwarp();  // nobody still uses the scratch memory
  }
  sync_threads(kServantsBarrier, kServants);  // all have chosen
  if (servant == 0) list_active(routing, a.rule.experts);
  __syncthreads();  // the choice is known
  if (servant != 0) return;
  fetch_first_half<Codec::kParts>(a, plan, routing.active, *routing.count, fetcher);
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
    for (int i = 0; i < plan.stages; ++i) {
      device::barrier_set_up(full + 8 * i, 1);
      device::barrier_set_up(full + 8 * (plan.stages + i), kTeamWarps);
    }
    device::barriers_are_set_up();
  }
  __syncthreads();  // barriers are set up
  if (threadIdx.x >= kWorkers) return serve<Codec>(a, plan, memory);
  device::wait_for_earlier_kernels();
  device::let_later_kernels_start();
  Worker<Codec, kTiles>(a, plan, memory).run();
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
