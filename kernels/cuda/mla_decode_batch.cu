// A few tokens, all blocks at once. A cluster of four blocks takes a head, of all tokens, for what
// is multiplied with weights, and every block some positions of one token, all heads, for
// attention. Between them go, through memory, what each head asks and what each block found:
//
//   q_b, W_UK                             -> the absorbed query of a head, all tokens
//   ...... every block waits for the queries of its token, all heads
//   scores and values of its positions    -> values of all heads, and the sums they belong to
//   ...... every block waits for the values of its head, all tokens and positions
//   W_UV of all positions' values         -> results
//
// In its cluster a block has a quarter of q_b's outputs, of the latents that W_UK gives and W_UV
// takes, and of W_UV's outputs; what the others need of it is sent through shared memory. Weights
// and rows are asked for before the kernel in front has ended.
//
// What goes through memory says by itself that it is there (device/awaited.cuh): that takes one
// trip to the second-level cache where a counter takes three. A block's place in memory is emptied
// by who has read it, and of the queries, which many read, by the launch after.
//
// Blocks that wait for each other must all be there. They are: no more than run at once, and what
// ran before ends without them.
#include <cstddef>

#include "kernels/cuda/bulk_plan.h"
#include "kernels/cuda/early_launch.h"
#include "kernels/cuda/mla_decode_args.h"
#include "kernels/cuda/mla_decode_batch.h"
#include "kernels/cuda/mla_decode_batch_positions.cuh"
#include "kernels/cuda/mla_decode_batch_values.cuh"

namespace glm::kernels::cuda {
namespace mla_batch {

// Once; but the assembler does not move decoding across a loop, to where it is used.
__device__ inline void wait_decoded(const Args& a) {
#pragma unroll 1
  for (int i = 0; i < a.tokens; i += kTokens) {
    device::wait_for_earlier_kernels();
    device::let_later_kernels_start();
  }
}

template <class Fetch, class Octet>
__global__ void __launch_bounds__(kThreads, 1) mla_batch_kernel(const __grid_constant__ Args a) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  extern __shared__ __align__(1024) unsigned char memory[];
  Shared& shared = *reinterpret_cast<Shared*>(memory + kSharedAt);
  Asking& asking = *reinterpret_cast<Asking*>(memory + kSecondAt);
  const std::uint32_t tiles_at = device::shared_address(memory);
  const int thread = static_cast<int>(threadIdx.x);
  const int warp = warp_of();
  const int rank = device::cluster_rank();
  const int head = static_cast<int>(blockIdx.y);
  const int block = head * kBlocks + rank;

  // What depends on no kernel in front.
  const Range range = Range::of(a, block);
  if (thread == 0) {
#pragma unroll
    for (unsigned i = 0; i < kBarriers; ++i) device::barrier_set_up(shared.barrier(i), 1);
    device::barriers_are_set_up();
    const auto tokens = static_cast<unsigned>(a.tokens);
    device::barrier_arrive_expecting(shared.barrier(kQueryCame), tokens * kNope * 2);
    device::barrier_arrive_expecting(shared.barrier(kMixedCame), tokens * kRank * 2);
  }
  const auto query_unit = Fetch::unit(a.one.q_b);
  const auto unit = Fetch::unit(a.one.kv_b);
  unsigned turn = 0;
  if (warp < kQueryWarps) {
    mla_decode::QueryWarp<Fetch> part;
    part.read(a.one, head, rank);
    Norming<Fetch> norming(a);
    __syncthreads();  // barriers are set up
    device::cluster_arrive_relaxed();
    copy_rows(a, range, 0, tiles_at);
    part.decode();
    wait_decoded(a);
    norming.read(a);
    turn = turn_of(a);
    norming.norm(a, shared, asking);
    multiply_queries(part, asking);
    __syncthreads();  // sums of all warps, and turns
    finish_query(a, shared, asking, turn, head, rank, query_unit);
    device::cluster_wait();  // barriers of all blocks
    __syncthreads();         // the query
    send_query(a, shared, asking, rank);
  } else {
    UnfoldWarp<Octet> part;
    part.read(a, head, rank);
    __syncthreads();  // barriers are set up
    device::cluster_arrive_relaxed();
    find_turns(a, shared, rank);
    part.decode(a);
    wait_decoded(a);
    turn = turn_of(a);
    __syncthreads();  // sums of all warps, and turns
    finish_query(a, shared, asking, turn, head, rank, query_unit);
    device::cluster_wait();  // barriers of all blocks
    __syncthreads();         // the query
    device::barrier_wait(shared.barrier(kQueryCame), 0);
    part.multiply_and_store(a, asking, turn, head, rank, unit);
  }
  if (range.tiles() > 1) __syncthreads();  // the second tile has a place
  copy_rows(a, range, 1, tiles_at);
  mla_decode::StoredPart<Fetch> part;
  read_values_part(a, part, head, rank);

  const OwnRow own_row(a, range, shared.row_turns, shared.row);
  take_queries(a, memory + kQueriesAt, turn, range.token);
  groups::Softmax softmax;
  groups::Sums values[kOwnBoxes] = {};
  // The same in all lanes, as the compiler is to know: descriptors are in registers of the warp.
  const int tiles = __shfl_sync(0xFFFFFFFFU, range.tiles(), 0);
#pragma unroll 1
  for (int tile = 0; tile < tiles; ++tile) {
    own_row.put(tile, memory);
    device::copy_async_wait<1>();
    device::shared_is_written();
    __syncthreads();  // the tile is here for all, and queries
    const std::uint32_t at =
        tiles_at + static_cast<std::uint32_t>(tile % kStages * groups::kTileBytes);
    if (warp < groups::kGroupWarps) {
      groups::Sums scores = {};
      groups::score(scores, at, tiles_at + kQueriesAt);
      groups::weigh(shared.weighing, softmax, scores, tiles_at + kWeightsAt, a.one.scale_log2,
                    range.rows(tile), kScoresBarrier);
    }
    __syncthreads();  // weights
    groups::accumulate(values, shared.weighing, at, tiles_at + kWeightsAt);
    __syncthreads();  // the tile has been used
    copy_rows(a, range, tile + kStages, tiles_at);
  }
  groups::leave_values(values, tiles_at);
  device::shared_is_written();
  __syncthreads();  // results
  if (block < a.tokens * a.splits) tell_found(a, shared.weighing, softmax, memory, block);
  empty_other_queries(a, turn, head, rank);
  part.decode();

  mix(a, shared, head, rank);
  device::barrier_wait(shared.barrier(kMixedCame), 0);
  tell(a, part, shared, head, rank, unit);
  // All have read it, as the queries and values of all have come here.
  if (block == 0 && thread == 0) a.meeting->turn = turn ^ 1U;
  wait_until_read();
#else
  __trap();  // built for another device
#endif
}

}  // namespace mla_batch
namespace {

using mla_batch::Args;
using mla_batch::kSharedBytes;
using mla_batch::Meeting;
using mla_decode::kBlocks;
using mla_decode::kThreads;

template <class Fetch, class Octet>
cudaError_t launch(const Args& args, cudaStream_t stream) {
  const auto kernel = &mla_batch::mla_batch_kernel<Fetch, Octet>;
  const cudaError_t code =
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kSharedBytes);
  if (code != cudaSuccess) return code;
  return launch_early({.grid = dim3(kBlocks, static_cast<unsigned>(args.heads)),
                       .threads = kThreads,
                       .shared_bytes = kSharedBytes,
                       .cluster = kBlocks},
                      kernel, stream, args);
}

}  // namespace

std::uint64_t mla_meeting_bytes(const AttentionWorkspace& workspace) {
#if defined(GLM_HAVE_SM90A)
  // Blocks wait for each other: with other processes' kernels beside them some might never start.
  if (workspace.compute_major == 9 && workspace.shared_bytes_max >= kSharedBytes &&
      bulk_limits().alone) {
    return sizeof(Meeting);
  }
#endif
  (void)workspace;
  return 0;
}

cudaError_t set_up_mla_meeting(void* meeting, cudaStream_t stream) {
  constexpr std::size_t kAwaitedAt = offsetof(Meeting, asked);
  const cudaError_t code = cudaMemsetAsync(meeting, 0, kAwaitedAt, stream);
  if (code != cudaSuccess) return code;
  static_assert(device::kNothing == 0xFFFFFFFFU);
  return cudaMemsetAsync(static_cast<std::byte*>(meeting) + kAwaitedAt, 0xFF,
                         sizeof(Meeting) - kAwaitedAt, stream);
}

bool supports_mla_decode_batch(const MlaDecode& a, const AttentionWorkspace& workspace) {
  return workspace.meeting != nullptr && workspace.latent_clusters[4] >= a.heads() &&
         a.heads() <= mla_batch::kHeadsMax && a.heads() * kBlocks >= a.tokens() &&
         a.tokens() >= 1 && a.tokens() <= mla_batch::kTokens && mla_decode::suits(a);
}

cudaError_t launch_mla_decode_batch(const MlaDecode& a, const AttentionWorkspace& workspace,
                                    cudaStream_t stream) {
  const Args args{.one = mla_decode::args_of(a),
                  .meeting = static_cast<Meeting*>(workspace.meeting),
                  .tokens = static_cast<int>(a.tokens()),
                  .heads = static_cast<int>(a.heads()),
                  .splits = static_cast<int>(a.heads() * kBlocks / a.tokens())};
  if (args.one.q_b.coding == device::Coding::bf16) {
    return launch<device::FetchBf16, device::Bf16Octet>(args, stream);
  }
  if (args.one.q_b.coding == device::Coding::e2m1) {
    return launch<device::FetchFp4, device::Fp4Octet>(args, stream);
  }
  if (args.one.q_b.coding == device::Coding::e4m3) {
    return launch<device::FetchFp8, device::Fp8Octet>(args, stream);
  }
  return launch<device::FetchInt4, device::Int4Octet>(args, stream);
}

}  // namespace glm::kernels::cuda
