// Absorbed latent attention by warpgroups, for some tens of tokens (sm_90a): a block takes one
// token, up to 24 heads and a share of its pages. Contract: kernels/ops/mla_attention.h; 512 + 64
// columns.
//
//   a warp      asks for pages, in thirds of their columns, by tensor maps: a ring of eight; before
//               the kernel in front has ended, for those that it does not write
//   a group     scores of a tile and their softmax
//   two groups  values of the tile before, half of the latents each
//
// Blocks of a cluster send each other what they found, and each adds up a part of it.
// device/latent_groups.cuh says how products are made.
#include <algorithm>
#include <cstdint>

#include "kernels/cuda/attention_args.h"
#include "kernels/cuda/attention_variants.h"
#include "kernels/cuda/early_launch.h"
#include "kernels/cuda/mla_groups_results.cuh"
#include "kernels/cuda/tensor_map.h"

namespace glm::kernels::cuda {
namespace mla_groups {

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

// By the first group.
__device__ void score(const Block& block, int tile, groups::Sums& scores) {
  const std::uint64_t queries = device::right_side(block.memory + kQueriesAt);
  groups::Sums others = {};  // a product waits for the one before it that has the same sums
  device::hold(scores);
  device::hold(others);
#pragma unroll
  for (int third = 0; third < kUnits; ++third) {
    const Unit unit(tile, third);
    device::barrier_wait(block.full(unit), unit.parity());
    const std::uint64_t rows = device::right_side(block.slot(unit));
    device::warpgroup_begin();
#pragma unroll
    for (unsigned i = 0; i < kUnitBoxes; ++i) {
      const std::uint64_t keys = rows + i * (groups::kTileBox / 16);
      const std::uint64_t asked =
          queries + (static_cast<unsigned>(third * kUnitBoxes) + i) * (groups::kHeadsBox / 16);
#pragma unroll
      for (unsigned k = 0; k < 4; k += 2) {
        groups::multiply_24<false>(scores, keys + 2 * k, asked + 2 * k);
        groups::multiply_24<false>(others, keys + 2 * k + 2, asked + 2 * k + 2);
      }
    }
    device::warpgroup_commit();
  }
  device::warpgroup_wait<0>();
  device::hold(scores);
  device::hold(others);
#pragma unroll
  for (int i = 0; i < kHeads / 2; ++i) scores[i] += others[i];
  if (lane_of() == 0) {
    // The second third is read by both others, and of the last nobody reads the shared key.
    device::barrier_arrive(block.used(Unit(tile, 0)));
    device::barrier_arrive(block.used(Unit(tile, 0)));
    device::barrier_arrive(block.used(Unit(tile, 1)));
    device::barrier_arrive(block.used(Unit(tile, 2)));
    device::barrier_arrive(block.used(Unit(tile, 2)));
  }
}

// Weights of a tile of which `rows` positions are seen, as groups::weigh.
__device__ void weigh(const Block& block, int tile, groups::Softmax& state, groups::Sums& s,
                      float scale_log2, int rows) {
  constexpr int kBarrier = 1;
  Softmaxing& shared = block.shared.tile[tile % 2];
  const int lane = lane_of();
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int row = warp * 16 + lane / 4;
#pragma unroll
  for (int j = 0; j < groups::kHeadTiles; ++j) {
#pragma unroll
    for (int e = 0; e < 2; ++e) {
      float& first = s[4 * j + e];
      float& second = s[4 * j + 2 + e];
      first = row < rows ? first * scale_log2 : -INFINITY;
      second = row + 8 < rows ? second * scale_log2 : -INFINITY;
      float most = fmaxf(first, second);
#pragma unroll
      for (int offset = 4; offset < 32; offset *= 2) {
        most = fmaxf(most, __shfl_xor_sync(0xFFFFFFFFU, most, offset));
      }
      if (lane < 4) shared.highest[warp][8 * j + 2 * lane + e] = most;
    }
  }
  device::sync_threads(kBarrier, kGroupThreads);  // the highest scores of all warps
  if (tile >= 2) device::barrier_wait(block.added(tile), static_cast<unsigned>(tile / 2 - 1) % 2);
#pragma unroll
  for (int j = 0; j < groups::kHeadTiles; ++j) {
    const int head = 8 * j + lane % 4 * 2;
    float2 most = {state.highest[j][0], state.highest[j][1]};
#pragma unroll
    for (int w = 0; w < groups::kGroupWarps; ++w) {
      const float2 others = *reinterpret_cast<const float2*>(&shared.highest[w][head]);
      most.x = fmaxf(most.x, others.x);
      most.y = fmaxf(most.y, others.y);
    }
    // The first position of a tile is visible: highest is finite.
    const float2 shrink = {device::exp2_approx(state.highest[j][0] - most.x),
                           device::exp2_approx(state.highest[j][1] - most.y)};
    if (warp == 0 && lane < 4) *reinterpret_cast<float2*>(&shared.shrink[head]) = shrink;
    state.highest[j][0] = most.x;
    state.highest[j][1] = most.y;
    float* p = s + 4 * j;
    p[0] = device::exp2_approx(p[0] - most.x);
    p[1] = device::exp2_approx(p[1] - most.y);
    p[2] = device::exp2_approx(p[2] - most.x);
    p[3] = device::exp2_approx(p[3] - most.y);
    state.sum[j][0] = state.sum[j][0] * shrink.x + (p[0] + p[2]);
    state.sum[j][1] = state.sum[j][1] * shrink.y + (p[1] + p[3]);
    groups::store_two_turned(
        block.weights(tile) +
            groups::piece_at(groups::kHeadsBox, 8 * j + lane % 8, 2 * warp + lane / 8 % 2),
        device::bf16_pair(p[0], p[1]), device::bf16_pair(p[2], p[3]));
  }
  device::shared_is_written();
  device::barrier_arrive(block.weighed(tile));
}

// Rows nobody sees may hold anything, and 0 * NaN would be seen.
__device__ void empty_rows(const Block& block, int tile, int group, int first) {
  constexpr int kPieces = 8;
  const int thread = static_cast<int>(threadIdx.x) % kGroupThreads;
#pragma unroll 1
  for (int at = thread; at < (kTile - first) * kPieces; at += kGroupThreads) {
#pragma unroll
    for (int i = 0; i < kValueBoxes; ++i) {
      const std::uint32_t to = block.box(tile, group * kValueBoxes + i) +
                               static_cast<unsigned>((first * kPieces + at) * 16);
      asm volatile("st.shared.v4.u32 [%0], {%1, %1, %1, %1};\n" ::"r"(to), "r"(0) : "memory");
    }
  }
  device::shared_is_written();
  device::sync_threads(2 + group, kGroupThreads);  // this group's boxes
}

// By one of the other groups.
__device__ void add_values(const Block& block, int tile, int group,
                           groups::Sums (&values)[kValueBoxes]) {
  const int lane = lane_of();
  device::barrier_wait(block.weighed(tile), static_cast<unsigned>(tile / 2) % 2);
  const int rows = block.range.rows(tile);
  const Softmaxing& shared = block.shared.tile[tile % 2];
#pragma unroll
  for (int j = 0; j < groups::kHeadTiles; ++j) {
    const float2 shrink = *reinterpret_cast<const float2*>(&shared.shrink[8 * j + lane % 4 * 2]);
#pragma unroll
    for (groups::Sums& box : values) {
      box[4 * j] *= shrink.x;
      box[4 * j + 1] *= shrink.y;
      box[4 * j + 2] *= shrink.x;
      box[4 * j + 3] *= shrink.y;
    }
  }
#pragma unroll
  for (int third = 0; third < 2; ++third) {
    const Unit unit(tile, group + third);
    device::barrier_wait(block.full(unit), unit.parity());
  }
  if (rows < kTile) empty_rows(block, tile, group, rows);
  const std::uint64_t weights = device::right_side(block.weights(tile));
#pragma unroll
  for (groups::Sums& box : values) device::hold(box);
  device::warpgroup_begin();
#pragma unroll
  for (unsigned k = 0; k < kTile / 16; ++k) {
#pragma unroll
    for (int i = 0; i < kValueBoxes; ++i) {
      const std::uint64_t latents = device::right_side(block.box(tile, group * kValueBoxes + i));
      groups::multiply_24<true>(values[i], latents + 128 * k, weights + 2 * k);
    }
  }
  device::warpgroup_commit();
  device::warpgroup_wait<0>();
#pragma unroll
  for (groups::Sums& box : values) device::hold(box);
  if (lane == 0) {
    device::barrier_arrive(block.used(Unit(tile, group)));
    device::barrier_arrive(block.used(Unit(tile, group + 1)));
    device::barrier_arrive(block.added(tile));
  }
}

#endif

__global__ void __launch_bounds__(kThreads, 1)
    mla_groups_kernel(const __grid_constant__ Maps maps, device::PagedSource source,
                      device::AttentionHeads heads) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  extern __shared__ __align__(1024) unsigned char memory[];
  const int blocks = device::cluster_size();
  const int first_head = static_cast<int>(blockIdx.y) * kHeads;
  const int token = static_cast<int>(blockIdx.z);
  const Block block{.shared = *reinterpret_cast<Shared*>(memory + kSharedAt),
                    .memory = device::shared_address(memory),
                    .range = Range::of(source, token, static_cast<int>(blockIdx.x), blocks)};
  device::let_later_kernels_start();
  const Shares shares(blocks, min(kHeads, heads.heads - first_head));
  // Read while barriers are set up.
  const std::int32_t* table =
      source.rows.table + block.range.sequence * source.rows.table_stride + block.range.first;
  int sequence_before = -1;
  std::int32_t pages = 0;
  if (threadIdx.x >= kWorkThreads) {
    if (token > 0) sequence_before = source.sequences[token - 1];
    if (lane_of() == 0) device::prefetch_map(maps.pages);
    if (lane_of() == 1) device::prefetch_map(maps.queries);
    if (lane_of() < block.range.count) pages = table[lane_of()];
  } else if (lane_of() == 0 && threadIdx.x / 32 < kSetUpWarps) {
    set_up(block, static_cast<int>(threadIdx.x) / 32, shares.bytes());
  }
  __syncthreads();  // barriers are set up
  // The same in all lanes, as the compiler is to know: descriptors are in registers of the warp.
  const int group = __shfl_sync(0xFFFFFFFFU, static_cast<int>(threadIdx.x) / kGroupThreads, 0) - 1;
  const int tiles = __shfl_sync(0xFFFFFFFFU, block.range.count, 0);
  groups::Softmax softmax;
  groups::Sums values[kValueBoxes] = {};
  Meeting& meeting = *reinterpret_cast<Meeting*>(memory + kQueriesAt);
  if (group == kGroups - 1) {
    // Tokens of a sequence follow each other; of the first all rows but its own are there.
    const bool alone = sequence_before != block.range.sequence;
    const int early = alone ? (block.range.visible - 1) / kTile - block.range.first : 0;
    fetch(block, maps, table, pages, min(early, tiles));
    __syncwarp();
    device::cluster_arrive_relaxed();
  } else if (group < 0) {
    if (threadIdx.x < 32) fetch_queries(block, maps, token, first_head);
    device::barrier_wait(device::shared_address(&block.shared.asked), 0);
#pragma unroll 1
    for (int tile = 0; tile < tiles; ++tile) {
      groups::Sums scores = {};
      score(block, tile, scores);
      weigh(block, tile, softmax, scores, heads.scale_log2, block.range.rows(tile));
    }
    // Queries have been used: what others send may take their place.
    __syncwarp();
    device::cluster_arrive_relaxed();
    leave_sums(meeting, softmax);
  } else {
#pragma unroll 1
    for (int tile = 0; tile < tiles; ++tile) {
      if (tile + 1 == tiles) {
        device::barrier_wait(block.weighed(tile), static_cast<unsigned>(tile / 2) % 2);
        __syncwarp();
        device::cluster_arrive_relaxed();
      }
      add_values(block, tile, group, values);
    }
    if (tiles == 0) device::cluster_arrive_relaxed();
  }
  device::wait_for_earlier_kernels();  // before anything is written
  __syncthreads();                     // sums; pages have been used
  if (group == 0 || group == 1) leave_values(block, meeting, group, values);
  __syncthreads();         // results
  device::cluster_wait();  // the others have used their queries as well
  if (blocks > 1) {
    send_results(block, shares, meeting);
    device::barrier_wait(device::shared_address(&block.shared.received), 0);
  }
  add_up(block, shares, meeting, heads, token, first_head);
#else
  __trap();  // built for another device
#endif
}

}  // namespace mla_groups
namespace {

namespace groups = device::latent_groups;
using groups::kHeads;
using groups::kTile;
using mla_groups::kSharedBytes;
using mla_groups::kSizeMax;
using mla_groups::Maps;

// How many blocks share the positions of a token, in tenths of a microsecond on an H100. A tile
// takes the time of its products, or of its bytes where many blocks read at once. `tiles` is a
// bound in steps of powers of two: sequences have between half as many and all.
int blocks_of_token(std::int64_t units, std::int64_t tiles, const AttentionWorkspace& workspace) {
  constexpr std::int64_t kStart = 34;
  constexpr std::int64_t kProducts = 17;
  constexpr std::int64_t kRead = 30;  // while all multiprocessors do
  constexpr std::int64_t kMeet = 6;
  int best = 1;
  std::int64_t least = INT64_MAX;
  for (std::int64_t size = 1; size <= std::clamp<std::int64_t>(tiles, 1, kSizeMax); ++size) {
    const std::int64_t at_once = workspace.latent_clusters[static_cast<std::size_t>(size)];
    if (at_once == 0) continue;
    const std::int64_t rounds = (units + at_once - 1) / at_once;
    const std::int64_t blocks = std::min(units, at_once) * size;
    const std::int64_t tile = std::max(kProducts, kRead * blocks / workspace.multiprocessors);
    const std::int64_t own = tile * (3 * tiles + 2 * (size - 1)) / (4 * size);  // on average
    const std::int64_t cost = rounds * (kStart + own) + (size > 1 ? kMeet + size : 0);
    if (cost >= least) continue;
    least = cost;
    best = static_cast<int>(size);
  }
  return best;
}

cudaError_t make_maps(const MlaAbsorbed& a, const AttentionWorkspace& workspace, Maps& maps) {
  const auto encode = reinterpret_cast<EncodeTensorMap>(workspace.encode_tensor_map);
  const cudaError_t code = make_tensor_map(encode,
                                           {.data = a.rows.pages.data,
                                            .columns = groups::kWidth,
                                            .middle = kPageTokens,
                                            .outer = a.rows.pages.size(0),
                                            .middle_stride = a.rows.pages.stride(1),
                                            .outer_stride = a.rows.pages.stride(0),
                                            .box_columns = groups::kBoxColumns,
                                            .box_middle = kTile},
                                           maps.pages);
  if (code != cudaSuccess) return code;
  return make_tensor_map(encode,
                         {.data = a.q.data,
                          .columns = groups::kWidth,
                          .middle = a.q.size(1),
                          .outer = a.q.size(0),
                          .middle_stride = a.q.stride(1),
                          .outer_stride = a.q.stride(0),
                          .box_columns = groups::kBoxColumns,
                          .box_middle = kHeads},
                         maps.queries);
}

}  // namespace

bool mla_absorbed_groups_decode_supports(const MlaAbsorbed& a,
                                         const AttentionWorkspace& workspace) {
  constexpr std::int64_t kGridMax = 65535;
  return workspace.encode_tensor_map != nullptr && workspace.compute_major == 9 &&
         workspace.latent_clusters[1] > 0 && workspace.shared_bytes_max >= kSharedBytes &&
         a.rows.plain() && a.q.dtype == Dtype::bf16 && a.q.size(2) == groups::kWidth &&
         a.out.size(2) == groups::kLatent && a.q.size(0) <= kGridMax && vector_rows(a.q) &&
         vector_rows(a.out) && vector_rows(a.rows.pages);
}

cudaError_t mla_absorbed_groups_decode(const MlaAbsorbed& a, const AttentionWorkspace& workspace,
                                       cudaStream_t stream) {
  Maps maps;
  cudaError_t code = make_maps(a, workspace, maps);
  if (code != cudaSuccess) return code;
  const auto kernel = &mla_groups::mla_groups_kernel;
  code = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kSharedBytes);
  if (code != cudaSuccess) return code;
  const device::AttentionHeads heads = device_heads(a.out, a.q, 1, a.scale);
  const int head_blocks = (heads.heads + kHeads - 1) / kHeads;
  const std::int64_t units = std::int64_t{heads.tokens} * head_blocks;
  const int size = blocks_of_token(units, (a.tokens.positions_max + kTile - 1) / kTile, workspace);
  return launch_early({.grid = dim3(static_cast<unsigned>(size), static_cast<unsigned>(head_blocks),
                                    static_cast<unsigned>(heads.tokens)),
                       .threads = mla_groups::kThreads,
                       .shared_bytes = kSharedBytes,
                       .cluster = static_cast<unsigned>(size)},
                      kernel, stream, maps, device_source(a), heads);
}

}  // namespace glm::kernels::cuda
