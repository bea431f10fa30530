// From the compressed rows of 9 to 64 tokens to what attention asks: q_b of the normed queries,
// W_UK, and what of both rows is turned. A cluster of four blocks has a head, of all tokens; one
// more cluster has what the cache keeps.
//
//   q_b      a block has 64 outputs; two warpgroups share the columns
//   W_UK     a block has 128 latents; what other blocks have of the query is sent to it
//
// All weights of a block are asked for, and most of q_b's decoded, before the kernel in front has
// ended. The norm is on either side of q_b: its weight is multiplied into q_b's, and what a token
// is divided by, found while products run, into the sums. Activations are read as they are. That,
// and how tokens are turned, each block finds for some and tells the others.
#include "kernels/cuda/mla_front.h"

#include "kernels/cuda/aligned.h"
#include "kernels/cuda/attention_args.h"
#include "kernels/cuda/device_weight.h"
#include "kernels/cuda/early_launch.h"
#include "kernels/cuda/mla_front_query.cuh"
#include "kernels/cuda/mla_front_unfold.cuh"
#include "kernels/cuda/product.h"
#include "kernels/cuda/tensor_map.h"
#include "kernels/device/sync_threads.cuh"

namespace glm::kernels::cuda {
namespace mla_front {

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

template <class Codec, int kColumns>
__device__ void ask(const Block<kColumns>& block, std::uint8_t* memory) {
  using At = Places<kColumns>;
  const int half = half_of();
  const int first = half * kHalfUnits;
  const auto thread = static_cast<int>(threadIdx.x);
  const auto* turns = reinterpret_cast<const float2*>(memory + At::kTurns);
  auto* others = reinterpret_cast<float4*>(memory + At::kSums);
  LeftUnit left[2];
  float sums[kColumns / 2] = {};
  const auto query_unit = Codec::unit(block.a.q_b);
  const auto unit = Codec::unit(block.a.kv_b);
  device::barrier_wait(block.small_full(), 0);
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    device::barrier_wait(block.weights_full(first + i), 0);
    decode<Codec>(block, first + i, left[i]);
  }
  if (warp_of() == kFetchThread / device::kWarpThreads) {
    device::wait_for_earlier_kernels();
    // Not sooner: what comes behind asks for cached rows at once, and they would be in the way.
    device::let_later_kernels_start();
    fetch_rows(block);
    __syncwarp();
  }
  if (At::kDecodesEarly) decode_unfold<Codec>(block, thread, kThreads);
  if (thread < kFetchThread) find_turns(block);
  device::hold(sums);
  multiply(block, first, left[0], sums);
  multiply(block, first + 1, left[1], sums);
  find_factors(block, query_unit);
  device::warpgroup_wait<1>();
  device::barrier_wait(block.weights_full(first + 2), 0);
  decode<Codec>(block, first + 2, left[0]);
  multiply(block, first + 2, left[0], sums);
  device::warpgroup_wait<0>();
  device::hold(sums);
  static_assert(kHalfUnits == 3);
  // Other blocks may send the query to where q_b's weights were.
  device::cluster_arrive_relaxed();
  __syncthreads();  // nobody still reads activations and weights
  if (half == 1) leave<kColumns>(sums, others);
  __syncthreads();                     // sums of the other half, factors, turns
  device::wait_for_earlier_kernels();  // before anything is written
  if (half == 1) {
    if (!At::kDecodesEarly) decode_unfold<Codec>(block, thread % kHalfThreads, kHalfThreads);
    device::cluster_wait();
  } else {
    constexpr int kBarrier = 1;
    const std::uint32_t query =
        block.memory + At::kQuery + static_cast<unsigned>(block.rank) * At::kBoxPitch;
    if (block.turns()) {
      finish_query<false>(block, sums, others, block.memory + At::kToTurn);
    } else {
      finish_query<true>(block, sums, others, query);
    }
    device::sync_threads(kBarrier, kHalfThreads);  // numbers of all its warps
    device::cluster_wait();
    if (block.turns()) {
      turn_query(block, reinterpret_cast<const __nv_bfloat16*>(memory + At::kToTurn), turns);
    } else {
      send_query(block, query);
    }
  }
  device::shared_is_written();
  __syncthreads();  // W_UK, and this block's part of the query
  device::barrier_wait(block.query_came(), 0);
  device::shared_is_written();  // by the other blocks
  unfold(block, unit);
  __syncthreads();  // all results
  store_unfolded(block);
}

// A warp has a token: its latent, normed as rms_norm.cu does, and its shared key, turned.
__device__ void store_latents(const Args& a, int rank) {
  const Latents& l = a.latents;
  const int lane = lane_of();
  constexpr int kWarps = kThreads / device::kWarpThreads;
  const int first = rank * kWarps + warp_of();
  uint4 weight[2];
#pragma unroll
  for (int i = 0; i < 2; ++i) weight[i] = device::read_octet(l.norm + (lane + 32 * i) * 8);
  float2 turn = {};
  if (first < a.tokens) turn = a.turns.turn(first, lane);
  device::wait_for_earlier_kernels();
  device::let_later_kernels_start();
#pragma unroll 1
  for (int token = first; token < a.tokens; token += kBlocks * kWarps) {
    if (token != first) turn = a.turns.turn(token, lane);
    const __nv_bfloat16* row = l.row + token * l.row_stride;
    __nv_bfloat16* to = l.pages.row(l.sequences[token], a.turns.positions[token]);
    uint4 x[2];
    float squares[2];
#pragma unroll
    for (int i = 0; i < 2; ++i) x[i] = device::read_octet(row + (lane + 32 * i) * 8);
    a.turns.apply(to + kRank, row + kRank, lane, turn);
#pragma unroll
    for (int i = 0; i < 2; ++i) squares[i] = device::warp_sum(device::octet_squares(x[i]));
    const float mean = (squares[0] + squares[1]) / static_cast<float>(kRank);
    const float scale = 1.0F / sqrtf(mean + a.eps);
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      device::write_octet(to + (lane + 32 * i) * 8, device::octet_normed(x[i], weight[i], scale));
    }
  }
}

#endif

template <class Codec, int kColumns>
__global__ void __launch_bounds__(kThreads, 2)
    front_kernel(const __grid_constant__ Args a, const __grid_constant__ Maps maps) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  extern __shared__ std::uint8_t unaligned[];
  const int head = static_cast<int>(blockIdx.x) / kBlocks;
  const int rank = static_cast<int>(blockIdx.x) % kBlocks;
  if (head == a.heads) return store_latents(a, rank);
  const std::uint32_t address = device::shared_address(unaligned);
  const std::uint32_t base = (address + kAlignment - 1) / kAlignment * kAlignment;
  const Block<kColumns> block{.a = a, .maps = maps, .memory = base, .head = head, .rank = rank};
  if (lane_of() == 0) set_up(block);
  __syncthreads();  // the barriers of this block are set up
  device::cluster_arrive_relaxed();
  if (threadIdx.x >= kFetchThread) fetch_weights(block);
  device::cluster_wait();  // those of the others are as well
  ask<Codec>(block, unaligned + (base - address));
#else
  __trap();  // built for another device
#endif
}

}  // namespace mla_front
namespace {

using mla_front::Args;
using mla_front::Maps;

std::uint32_t scale_bytes(const device::Weight& w) {
  return w.coding == device::Coding::int4 ? 2 : 1;
}

// Scales of thirty-two columns are two bytes in either coding.
bool suits(const device::Weight& w) {
  return (is_fast_int4(w) || is_fast_fp4(w)) &&
         w.group * 2 == mla_front::kScaled * scale_bytes(w) && w.zeros == nullptr &&
         w.order == nullptr && aligned(w.data) && aligned(w.scales) && w.row_bytes % 16 == 0;
}
bool suit(const device::Weight& q_b, const device::Weight& kv_b) {
  return suits(q_b) && suits(kv_b) && is_fast_fp4(q_b) == is_fast_fp4(kv_b);
}

cudaError_t map_weight(const device::Weight& w, std::int64_t rows, unsigned box_bytes,
                       unsigned box_rows, CUtensorMap& data, CUtensorMap& scales) {
  const cudaError_t code = make_tensor_map({w.data, w.row_bytes, rows, box_bytes, box_rows}, data);
  if (code != cudaSuccess) return code;
  return make_tensor_map(
      {w.scales, std::int64_t{w.groups} * scale_bytes(w), rows, mla_front::kScaleRow, box_rows},
      scales);
}

cudaError_t make_maps(const MlaDecode& a, Maps& maps) {
  using namespace mla_front;
  cudaError_t code = map_weight(device_weight(a.latents.q_b), a.latents.q_b.layout.rows, kUnitRow,
                                kOwnQuery, maps.weights, maps.scales);
  if (code != cudaSuccess) return code;
  code = map_weight(device_weight(a.kv_b), a.kv_b.layout.rows, kUnfoldRow, kNope, maps.unfold,
                    maps.unfold_scales);
  if (code != cudaSuccess) return code;
  const TensorView& query = a.latents.query;
  return make_tensor_map(find_encode_tensor_map(),
                         {.data = query.data,
                          .columns = kQRank,
                          .middle = a.tokens(),
                          .outer = 1,
                          .middle_stride = query.stride(0),
                          .outer_stride = query.stride(0),
                          .box_columns = kBox,
                          .box_middle = static_cast<unsigned>((a.tokens() + 7) / 8 * 8)},
                         maps.rows);
}

template <class Codec, int kColumns>
cudaError_t launch(const Args& args, const Maps& maps, cudaStream_t stream) {
  constexpr unsigned kSharedBytes = mla_front::Places<kColumns>::kTotal;
  const auto kernel = &mla_front::front_kernel<Codec, kColumns>;
  const cudaError_t code =
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kSharedBytes);
  if (code != cudaSuccess) return code;
  return launch_early({.grid = static_cast<unsigned>(mla_front::kBlocks * (args.heads + 1)),
                       .threads = mla_front::kThreads,
                       .shared_bytes = kSharedBytes,
                       .cluster = mla_front::kBlocks},
                      kernel, stream, args, maps);
}

template <class Codec>
cudaError_t launch(const Args& args, const Maps& maps, cudaStream_t stream) {
  return args.tokens <= 16   ? launch<Codec, 16>(args, maps, stream)
         : args.tokens <= 32 ? launch<Codec, 32>(args, maps, stream)
                             : launch<Codec, 64>(args, maps, stream);
}

}  // namespace

bool supports_mla_front(const MlaDecode& a) {
  using namespace mla_front;
  const MlaLatents& l = a.latents;
  return takes_warpgroups() && a.tokens() >= kTokensMin && a.tokens() <= kTokensMax &&
         l.query.dtype == Dtype::bf16 && l.rows.plain() && l.query.size(1) == kQRank &&
         a.rank() == kRank && a.turned() == kTurned && a.nope() == kNope &&
         a.out.size(2) == kValue && vector_rows(l.query) && vector_rows(l.row) &&
         vector_rows(l.rows.pages) && vector_rows(l.q_norm) && vector_rows(l.kv_norm) &&
         vector_rows(a.absorbed) && suit(device_weight(l.q_b), device_weight(a.kv_b));
}

cudaError_t launch_mla_front(const MlaDecode& a, cudaStream_t stream) {
  const MlaLatents& l = a.latents;
  const Args args{.latents = {.row = bf16(l.row),
                              .norm = bf16(l.kv_norm),
                              .row_stride = l.row.stride(0),
                              .pages = device_rows(l.rows),
                              .sequences = l.tokens.sequence.as<std::int32_t>()},
                  .q_b = device_weight(l.q_b),
                  .kv_b = device_weight(a.kv_b),
                  .norm = bf16(l.q_norm),
                  .out = bf16(a.absorbed),
                  .out_token = a.absorbed.stride(0),
                  .out_head = a.absorbed.stride(1),
                  .turns = device_turns(l.row_rope()),
                  .eps = l.eps,
                  .heads = static_cast<int>(a.heads()),
                  .tokens = static_cast<int>(a.tokens())};
  Maps maps;
  const cudaError_t code = make_maps(a, maps);
  if (code != cudaSuccess) return code;
  return is_fast_fp4(args.q_b) ? launch<PairsFp4>(args, maps, stream)
                               : launch<PairsInt4>(args, maps, stream);
}

}  // namespace glm::kernels::cuda
