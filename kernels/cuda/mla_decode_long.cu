// One token of many positions, which many blocks share. A cluster of four blocks takes a head for
// what is multiplied with weights, and every block some pages, all heads, for attention. Between
// them go, through memory, what each head asks and what each block found:
//
//   q_b, W_UK                      -> the absorbed query of a head
//   ...... every block waits for the queries of all heads
//   scores and values of its pages -> values of all heads, and the sums they belong to
//   ...... every block waits for the values of its head, all positions
//   W_UV of all positions' values  -> results
//
// In its cluster a block has a quarter of q_b's outputs and W_UK's rows for those; sums of its
// latents come from the others. Weights are read and decoded, and cached rows on their way, before
// the kernel in front has ended. The token's own row goes to the cache, and is read from there.
// More clusters than heads have pages alone.
//
// What goes through memory says by itself that it is there, as in mla_decode_batch.cu, and lies in
// the same place. Blocks that wait for each other must all be there; they are, as said there.
#include <algorithm>

#include "kernels/cuda/early_launch.h"
#include "kernels/cuda/mla_decode_args.h"
#include "kernels/cuda/mla_decode_batch.h"
#include "kernels/cuda/mla_decode_batch_positions.cuh"
#include "kernels/cuda/mla_decode_batch_values.cuh"
#include "kernels/cuda/mla_decode_long.h"
#include "kernels/cuda/mla_long_positions.cuh"
#include "kernels/cuda/mla_long_query.cuh"
#include "kernels/cuda/mla_long_values.cuh"
#include "kernels/cuda/tensor_map.h"

namespace glm::kernels::cuda {
namespace mla_long {

template <class Fetch, class Octet>
__global__ void __launch_bounds__(kThreads, 1)
    mla_long_kernel(const __grid_constant__ Args a, const __grid_constant__ CUtensorMap pages) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  extern __shared__ __align__(1024) unsigned char memory[];
  Shared& shared = *reinterpret_cast<Shared*>(memory + kSharedAt);
  Early& early = *reinterpret_cast<Early*>(memory + kEarlyAt);
  Late& late = *reinterpret_cast<Late*>(memory + kLateAt);
  const std::uint32_t memory_at = device::shared_address(memory);
  const int thread = static_cast<int>(threadIdx.x);
  const int warp = warp_of();
  const int lane = lane_of();
  const int rank = device::cluster_rank();
  const int head = static_cast<int>(blockIdx.y);
  const int block = head * kBlocks + rank;

  // What depends on no kernel in front.
  const Range range = Range::of(a, block);
  const bool has_head = head < a.heads;
  if (!has_head && range.count == 0) return;  // nobody waits for it
  Fetcher fetcher(a, range, pages, shared, memory_at);
  if (warp < static_cast<int>(kBarriers) && lane == 0) {
    device::prefetch_map(pages);
    const auto which = static_cast<unsigned>(warp);
    device::barrier_set_up(shared.barrier(which), 1);
    device::barriers_are_set_up();
    if (which == kPartsCame) {
      device::barrier_arrive_expecting(shared.barrier(which), sizeof(early.parts));
    }
    if (which == kMixedCame) {
      device::barrier_arrive_expecting(shared.barrier(which), sizeof(late.mixed));
    }
  }
  const bool norms = thread < mla_decode::kNormThreads;
  const auto query_unit = Fetch::unit(a.one.q_b);
  const auto unit = Fetch::unit(a.one.kv_b);
  const uint4 norm = norms ? device::read_octet(a.one.q_norm + thread * 8) : uint4{};
  const float angle = warp == kTurnWarp ? a.one.turns.angle(0, lane) : 0;
  const auto start = [&] {
    __syncthreads();  // barriers are set up
    device::cluster_arrive_relaxed();
    fetcher.start();
    if (warp == kTurnWarp) early.turns[lane] = device::Turns::by(angle);
  };
  const auto wait = [&] {
    __syncthreads();         // turns
    device::cluster_wait();  // barriers of all blocks
    device::wait_for_earlier_kernels();
    device::let_later_kernels_start();
    return mla_batch::turn_of(a);
  };
  const auto make_own_row = [&] {
    if (warp != kTurnWarp || !range.has_own()) return;
    mla_decode::make_row(a.one, 0, early.turns, a.one.rows.row(range.sequence, range.own));
    fetcher.start_own();
  };
  unsigned turn = 0;
  if (!has_head) {
    start();
    turn = wait();
    make_own_row();
  } else if (warp < kQueryWarps) {
    mla_decode::QueryWarp<Fetch> part;
    part.read(a.one, head, rank);
    start();
    part.decode();
    turn = wait();
    if (norms) norm_query<Fetch>(a, early, norm);
    device::sync_threads(mla_decode::kQueryBarrier, kQueryWarps * kWarpThreads);
    part.multiply_with(
        [&](int c) { return mla_decode::has_token() ? early.normed[c / 8] : uint4{}; },
        [&](int part, int output, const float(&sums)[4]) {
          mla_decode::leave_sums(early.sums[part] + output, sums);
        });
    device::sync_threads(mla_decode::kQueryBarrier, kQueryWarps * kWarpThreads);
    if (thread < kOwnQuery) {
      finish_query(a, early, turn, head, rank, query_unit);
      device::sync_threads(kAskedBarrier, kAskedThreads);  // the query
    }
    make_own_row();
  } else {
    UnfoldWarp<Octet> part;
    part.read(a, head, rank);
    start();
    part.decode(a);
    turn = wait();
    device::sync_threads(kAskedBarrier, kAskedThreads);  // the query
    part.multiply_and_send(shared, early, rank, unit);
  }
  // Before anything that is awaited: numbers come back in the order of loads.
  mla_decode::StoredPart<Fetch> part;
  const QueryTaker taker(a);
  if (has_head) {
    mla_batch::read_values_part(a, part, head, rank);
    device::barrier_wait(shared.barrier(kPartsCame), 0);
    if (thread < kStoreThreads) store_query(a, early, turn, head, rank);
  }
  taker.take(a, memory + kQueriesAt, turn);
  __syncthreads();  // queries

  groups::Softmax softmax;
  groups::Sums values[kOwnBoxes] = {};
  // The same in all lanes, as the compiler is to know: descriptors are in registers of the warp.
  const int group = __shfl_sync(0xFFFFFFFFU, warp / groups::kGroupWarps, 0);
  const int tiles = __shfl_sync(0xFFFFFFFFU, range.count, 0);
  const std::uint32_t units_at = shared.barrier(kUnitCame);
#pragma unroll 1
  for (int tile = 0; tile < tiles; ++tile) {
#pragma unroll
    for (unsigned i = 0; i < kUnits; ++i) {
      const unsigned unit_of_tile = static_cast<unsigned>(tile) * kUnits + i;
      device::barrier_wait(units_at + unit_of_tile % kSlots * 8, unit_of_tile / kSlots % 2);
    }
    const int rows = range.rows(tile);
    if (rows < kTile) {
      empty_rows(memory_at, tile, rows);
      __syncthreads();  // rows nobody sees
    }
    if (group == 0) {
      groups::Sums scores = {};
      score(scores, memory_at, tile);
      groups::weigh(shared.weighing, softmax, scores, memory_at + kEarlyAt, a.one.scale_log2, rows,
                    kScoresBarrier);
    }
    __syncthreads();  // weights
    add_values(values, shared, memory_at, tile, group);
    __syncthreads();  // the tile has been used
    fetcher.next(tile);
  }
  if (tiles > 0) tell_found(a, shared.weighing, softmax, values, memory, group, block);
  if (!has_head) return;
  mla_batch::empty_other_queries(a, turn, head, rank);
  part.decode();
  mix(a, shared, late, range.readers(a), head, rank);
  device::barrier_wait(shared.barrier(kMixedCame), 0);
  {
    const auto* x = reinterpret_cast<const uint4*>(late.mixed) + warp / kValueTiles * (kPart / 8);
    float sums[4] = {};
    part.multiply(
        sums, [&](int c) { return mla_decode::has_token() ? Fetch::arrange(x[c / 8]) : uint4{}; });
    mla_decode::leave_sums(late.sums[warp / kValueTiles] + warp % kValueTiles * kTileRows, sums);
  }
  __syncthreads();  // sums of the results
  if (thread < kOwnValues) {
    float sum = 0;
#pragma unroll
    for (int p = 0; p < kValueParts; ++p) sum += late.sums[p][thread];
    device::store(a.one.out + head * a.one.out_head + rank * kOwnValues + thread, sum * unit);
  }
  // All have read it, as the queries and values of all have come here.
  if (block == 0 && thread == 0) a.meeting->turn = turn ^ 1U;
#else
  __trap();  // built for another device
#endif
}

}  // namespace mla_long
namespace {

using mla_batch::Args;
using mla_batch::Meeting;
using mla_decode::kBlocks;
using mla_decode::kThreads;
using mla_long::kSharedBytes;
using mla_long::mla_long_kernel;

template <class Fetch, class Octet>
cudaError_t launch(const Args& args, const CUtensorMap& pages, cudaStream_t stream) {
  const auto kernel = &mla_long_kernel<Fetch, Octet>;
  const cudaError_t code =
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kSharedBytes);
  if (code != cudaSuccess) return code;
  return launch_early({.grid = dim3(kBlocks, static_cast<unsigned>(args.splits / kBlocks)),
                       .threads = kThreads,
                       .shared_bytes = kSharedBytes,
                       .cluster = kBlocks},
                      kernel, stream, args, pages);
}

}  // namespace

bool supports_mla_decode_long(const MlaDecode& a, const AttentionWorkspace& workspace) {
  return a.tokens() == 1 && workspace.encode_tensor_map != nullptr &&
         workspace.shared_bytes_max >= kSharedBytes && supports_mla_decode_batch(a, workspace);
}

cudaError_t launch_mla_decode_long(const MlaDecode& a, const AttentionWorkspace& workspace,
                                   cudaStream_t stream) {
  const TensorView& rows = a.latents.rows.pages;
  CUtensorMap pages;
  const cudaError_t code =
      make_tensor_map(reinterpret_cast<EncodeTensorMap>(workspace.encode_tensor_map),
                      {.data = rows.data,
                       .columns = mla_decode::kWidth,
                       .middle = kPageTokens,
                       .outer = rows.size(0),
                       .middle_stride = rows.stride(1),
                       .outer_stride = rows.stride(0),
                       .box_columns = device::latent_groups::kBoxColumns,
                       .box_middle = device::latent_groups::kTile},
                      pages);
  if (code != cudaSuccess) return code;
  const int clusters = std::min(workspace.latent_clusters[4], mla_batch::kBlocksMax / kBlocks);
  const Args args{.one = mla_decode::args_of(a),
                  .meeting = static_cast<Meeting*>(workspace.meeting),
                  .tokens = 1,
                  .heads = static_cast<int>(a.heads()),
                  .splits = clusters * kBlocks};
  if (args.one.q_b.coding == device::Coding::bf16) {
    return launch<device::FetchBf16, device::Bf16Octet>(args, pages, stream);
  }
  if (args.one.q_b.coding == device::Coding::e2m1) {
    return launch<device::FetchFp4, device::Fp4Octet>(args, pages, stream);
  }
  if (args.one.q_b.coding == device::Coding::e4m3) {
    return launch<device::FetchFp8, device::Fp8Octet>(args, pages, stream);
  }
  return launch<device::FetchInt4, device::Int4Octet>(args, pages, stream);
}

}  // namespace glm::kernels::cuda
