// A cluster of eight blocks takes two heads of one token, and passes through its shared memory what
// otherwise goes through memory from launch to launch. Four of them have each head for what is
// multiplied with weights; all of them share the positions, for both heads:
//
//   each block: a quarter of q_b's outputs of its head, and W_UK's rows for those
//                 -> all: a part of the absorbed query, and what of the query is turned
//               an eighth of the positions
//                 -> the blocks of each head: their values, and the sums they belong to
//               a quarter of W_UV's outputs -> memory
//
// Some warps have q_b, the others W_UK. Weights are read and decoded, and cached rows are on their
// way, before the kernel in front has ended. What blocks send counts as bytes on a barrier of the
// one that gets it: nobody waits for more than that. The token's own row is made where it is read,
// and goes from there to the cache.
#include "kernels/cuda/early_launch.h"
#include "kernels/cuda/mla_decode.h"
#include "kernels/cuda/mla_decode_args.h"
#include "kernels/cuda/mla_decode_query.cuh"
#include "kernels/cuda/mla_decode_rows.cuh"
#include "kernels/cuda/mla_decode_values.cuh"

namespace glm::kernels::cuda {
namespace mla_decode {

template <class Fetch, class Octet>
__global__ void __launch_bounds__(kThreads, 1) mla_decode_kernel(const __grid_constant__ Args a) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  extern __shared__ __align__(128) unsigned char memory[];
  Shared& shared = *reinterpret_cast<Shared*>(memory);
  unsigned char* const tiles = memory + kTileAt;
  const std::uint32_t tiles_at = device::shared_address(tiles);
  const int thread = static_cast<int>(threadIdx.x);
  const int warp = warp_of();
  const int lane = lane_of();
  const int place = device::cluster_rank();
  const int rank = place % kBlocks;
  const int own_head = place / kBlocks;  // of the heads of the cluster
  const int head = static_cast<int>(blockIdx.y) * kHeads + own_head;
  const int token = static_cast<int>(blockIdx.z);

  // What depends on no kernel in front.
  const Range range = Range::of(a, token, place);
  if (thread == 0) {
#pragma unroll
    for (unsigned i = 0; i < kBarriers; ++i) device::barrier_set_up(shared.barrier(i), 1);
    device::barriers_are_set_up();
    device::barrier_arrive_expecting(shared.barrier(kAbsorbedCame),
                                     sizeof(shared.parts) + kHeads * kTurned * 2);
    device::barrier_arrive_expecting(shared.barrier(kValuesCame),
                                     sizeof(shared.values) + sizeof(shared.said));
  }
  const bool norms = thread < kNormThreads;
  // Read while there is time.
  const auto query_unit = Fetch::unit(a.q_b);
  const auto unit = Fetch::unit(a.kv_b);
  const uint4 norm = norms ? device::read_octet(a.q_norm + thread * 8) : uint4{};
  // What is wanted first is asked for before weights: numbers come back in their order.
  const float angle = warp == kTurnWarp ? a.turns.angle(token, lane) : 0;
  const RowCopy<kStages> first_rows(a, range, 0);
  const auto start_first = [&] {
    __syncthreads();  // barriers are set up
    device::cluster_arrive_relaxed();
    first_rows.start(a, shared, range, tiles_at);
    if (range.chunks() == 0 || range.chunks() > kStages) return;
    const int last = range.chunks() - 1;
    zero_rows(tiles + last * kChunkBytes, range.rows(last));
  };
  if (warp < kQueryWarps) {
    QueryWarp<Fetch> part;
    part.read(a, head, rank);
    start_first();
    if (warp == kTurnWarp) shared.turns[lane] = device::Turns::by(angle);
    part.decode();
    __syncthreads();         // turns
    device::cluster_wait();  // barriers of all blocks
    device::wait_for_earlier_kernels();
    device::let_later_kernels_start();
    if (norms) {
      const uint4 x = device::read_octet(a.query + token * a.query_stride + thread * 8);
      const float squares = device::warp_sum(device::octet_squares(x));
      if (lane == 0) shared.squares[warp] = squares;
      device::sync_threads(kNormBarrier, kNormThreads);  // the sums of all warps
      const float mean = ((shared.squares[0] + shared.squares[2]) + shared.squares[1]) *
                         (1.0F / static_cast<float>(kQRank));
      shared.normed[thread] = Fetch::arrange(device::octet_normed(x, norm, rsqrtf(mean + a.eps)));
    }
    device::sync_threads(kQueryBarrier, kQueryWarps * kWarpThreads);  // the normed activation
    part.multiply(shared);
    device::sync_threads(kQueryBarrier, kQueryWarps * kWarpThreads);  // sums of all warps
    if (thread < kOwnQuery) finish_query(a, shared, own_head, rank, query_unit);
    __syncthreads();  // the query, and the token's own row
  } else {
    UnfoldWarp<Octet> part;
    part.read(a, head, rank);
    start_first();
    part.decode(a);
    __syncthreads();         // turns
    device::cluster_wait();  // barriers of all blocks
    device::wait_for_earlier_kernels();
    device::let_later_kernels_start();
    if (warp == kRowWarp && range.has_own()) make_row(a, token, shared.turns, shared.fresh);
    __syncthreads();  // the query, and the token's own row
    part.multiply_and_send(shared, own_head, rank, unit);
  }
  StoredPart<Fetch> values_part;
  {
    const int row =
        head * kHeadRows + kNope + rank * kOwnValues + warp % kValueTiles * kTileRows + lane / 4;
    values_part.read(a.kv_b, row, row + 8, warp / kValueTiles);
  }
  const auto put_fresh = [&](int chunk) {
    if (!range.has_own(chunk) || thread >= kWidth / 8) return;
    const uint4 octet = reinterpret_cast<const uint4*>(shared.fresh)[thread];
    unsigned char* row = tiles + chunk % kStages * kChunkBytes + (range.rows(chunk) - 1) * kPitch;
    reinterpret_cast<uint4*>(row)[thread] = octet;
    if (blockIdx.y > 0) return;
    reinterpret_cast<uint4*>(a.rows.row(range.sequence, range.own))[thread] = octet;
  };
  device::barrier_wait(shared.barrier(kAbsorbedCame), 0);
#pragma unroll
  for (int h = 0; h < kHeads; ++h) {
    const float(&parts)[kBlocks][kRank] = shared.parts[h];
    device::store(shared.absorbed[h] + thread,
                  (parts[0][thread] + parts[1][thread]) + (parts[2][thread] + parts[3][thread]));
  }

  // Positions.
  Softmax softmax;  // of the first warps, which have a head each
  Found found;
#pragma unroll 1
  for (int chunk = 0; chunk < range.chunks(); ++chunk) {
    const std::uint32_t tile = tiles_at + chunk % kStages * kChunkBytes;
    const int rows = range.rows(chunk);
    put_fresh(chunk);
    device::barrier_wait(shared.barrier(kRowsCame + chunk % kStages), chunk / kStages % 2);
    __syncthreads();  // the absorbed query; the token's own row; weights of the chunk before
    score(shared, tile, rows);
    __syncthreads();  // scores
    if (warp < kHeads) softmax.weigh(shared, warp, a.scale_log2, rows);
    __syncthreads();  // weights
    found.add(shared, tile, rows);
    if (chunk + kStages < range.chunks()) {
      __syncthreads();  // the chunk has been used
      RowCopy<1>(a, range, chunk + kStages).start(a, shared, range, tiles_at);
    }
  }
  if (range.chunks() == 0) __syncthreads();  // parts of the queries have been added up
  if (warp < kHeads) softmax.send(shared, warp, place);
  found.send(shared, place);
  values_part.decode();
  device::barrier_wait(shared.barrier(kValuesCame), 0);
  combine(shared);
  __syncthreads();  // values of all positions
  {
    const auto* x = reinterpret_cast<const uint4*>(shared.mixed) + warp / kValueTiles * (kPart / 8);
    float sums[4] = {};
    values_part.multiply(sums,
                         [&](int c) { return has_token() ? Fetch::arrange(x[c / 8]) : uint4{}; });
    leave_sums(shared.partial[warp / kValueTiles] + warp % kValueTiles * kTileRows, sums);
  }
  __syncthreads();  // sums of the results
  if (thread < kOwnValues) {
    float sum = 0;
#pragma unroll
    for (int p = 0; p < kValueParts; ++p) sum += shared.partial[p][thread];
    device::store(a.out + token * a.out_token + head * a.out_head + rank * kOwnValues + thread,
                  sum * unit);
  }
#else
  __trap();  // built for another device
#endif
}

}  // namespace mla_decode
namespace {

using mla_decode::Args;
using mla_decode::kClusterBlocks;
using mla_decode::kHeads;
using mla_decode::kSharedBytes;
using mla_decode::kThreads;
using mla_decode::mla_decode_kernel;

template <class Fetch, class Octet>
cudaError_t launch(const Args& args, const MlaDecode& a, cudaStream_t stream) {
  const auto kernel = &mla_decode_kernel<Fetch, Octet>;
  const cudaError_t code =
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kSharedBytes);
  if (code != cudaSuccess) return code;
  return launch_early({.grid = dim3(kClusterBlocks, static_cast<unsigned>(a.heads() / kHeads),
                                    static_cast<unsigned>(a.tokens())),
                       .threads = kThreads,
                       .shared_bytes = kSharedBytes,
                       .cluster = kClusterBlocks},
                      kernel, stream, args);
}

}  // namespace

bool supports_mla_decode(const MlaDecode& a, const AttentionWorkspace& workspace) {
  constexpr std::int64_t kTokensMax = 2;
  constexpr std::int64_t kPositionsMax = 1024;  // of all tokens
  return workspace.latent_clusters[8] > 0 && a.heads() % kHeads == 0 &&
         workspace.shared_bytes_max >= kSharedBytes && a.tokens() >= 1 &&
         a.tokens() <= kTokensMax && a.tokens() * a.latents.tokens.positions_max <= kPositionsMax &&
         mla_decode::suits(a);
}

cudaError_t launch_mla_decode(const MlaDecode& a, cudaStream_t stream) {
  const Args args = mla_decode::args_of(a);
  if (args.q_b.coding == device::Coding::bf16) {
    return launch<device::FetchBf16, device::Bf16Octet>(args, a, stream);
  }
  if (args.q_b.coding == device::Coding::e2m1) {
    return launch<device::FetchFp4, device::Fp4Octet>(args, a, stream);
  }
  if (args.q_b.coding == device::Coding::e4m3) {
    return launch<device::FetchFp8, device::Fp8Octet>(args, a, stream);
  }
  return launch<device::FetchInt4, device::Int4Octet>(args, a, stream);
}

}  // namespace glm::kernels::cuda
