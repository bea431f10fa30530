// For experts whose weights take the time (sm_90 and later). Every weight passes once: a warp of
// its own keeps a ring of stages in shared memory full with bulk copies, the others multiply.
//
// A slab is sixteen rows of one expert's weights, the rows of the tensor-core tile; gated, the
// first eight are gate, the others up, so that both of an output meet in one lane. The slabs of all
// experts that occur are one list, expert after expert, of which every block takes an equal part. A
// team of four warps takes a slab, shares out its columns and adds the four sums in their order:
// neither the number of blocks nor other rows change the bits of a result.
//
// Activations of the rows at hand lie in shared memory in the order in which lanes need them, eight
// rows to a tile. Rows of one expert beyond kTiles tiles make another entry of the list.
//
// Eight neighbouring rows of weights begin in the same banks. They come as two copies of four rows,
// the second shifted by half the banks; tile rows alternate between both.
#include <algorithm>
#include <array>
#include <optional>

#include "base/check.h"
#include "kernels/cuda/early_launch.h"
#include "kernels/cuda/product_rows.cuh"
#include "kernels/device/bulk_copy.cuh"
#include "kernels/device/int4.cuh"
#include "kernels/device/mma.cuh"
#include "kernels/device/reduce.cuh"

namespace glm::kernels::cuda {
namespace {

constexpr int kTeamWarps = 4;
constexpr int kTileRows = 8;  // columns of the tensor-core tile
constexpr int kSlabRows = 16;
constexpr int kQuadRows = 4;  // of weights in one copy
constexpr int kQuads = kSlabRows / kQuadRows;
constexpr int kChunk = 128;  // columns a warp takes at a time
constexpr int kChunkBytes = kChunk / 2;
constexpr int kOctetsPerChunk = kChunk / 8;
constexpr int kBuffers = 2;  // of sums, and how many sums of four a team has in them
constexpr int kBufferSums = (kTeamWarps - 1) * device::kWarpThreads;
constexpr int kTeamSums = kBuffers * kBufferSums;
constexpr std::int64_t kRowsMax = 8192;
constexpr unsigned kFullWarp = 0xFFFFFFFFU;

enum Part : int { kData, kScales, kZeros, kParts };
constexpr std::array<unsigned, kParts> kShift = {64, 64, 16};  // bytes from quad to quad

// Sizes and places in bytes.
struct Plan {
  unsigned row[kParts];   // of one row of weights
  unsigned quad[kParts];  // from quad to quad in a stage
  unsigned at[kParts];    // in a stage
  unsigned stage;
  unsigned stage_copied;  // what of a stage is filled
  unsigned stages_at;     // in shared memory, where activations come first
  unsigned partial_at;
  unsigned barriers_at;
  unsigned ends_at;
  unsigned rows_at;
  unsigned ids_at;
  unsigned total;
  int stages;
  int slabs;  // of an expert
};

constexpr int threads_of(int teams) {
  return (teams * kTeamWarps + 1) * device::kWarpThreads;
}

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900

__device__ int lane_index() {
  return static_cast<int>(threadIdx.x) % device::kWarpThreads;
}

__device__ void sync_threads(int barrier, int count) {
  asm volatile("bar.sync %0, %1;\n" ::"r"(barrier), "r"(count) : "memory");
}

// ends[e]: how many entries experts up to e have. All threads of the block.
__device__ void list_entries(const Product& a, int entry_rows, int* ends, std::uint16_t* ids) {
  const int experts = static_cast<int>(a.groups);
  for (int e = static_cast<int>(threadIdx.x); e < experts; e += static_cast<int>(blockDim.x)) {
    ends[e] = 0;
  }
  __syncthreads();  // counts are zero
  for (int i = static_cast<int>(threadIdx.x); i < a.rows; i += static_cast<int>(blockDim.x)) {
    const std::int32_t expert = __ldcg(a.row_group + i);
    ids[i] = static_cast<std::uint16_t>(expert);
    atomicAdd(&ends[expert], 1);
  }
  __syncthreads();  // all rows are counted
  if (threadIdx.x < device::kWarpThreads) {
    const int lane = lane_index();
    int before = 0;
    for (int first = 0; first < experts; first += device::kWarpThreads) {
      const int e = first + lane;
      int sum = e < experts ? (ends[e] + entry_rows - 1) / entry_rows : 0;
      for (int step = 1; step < device::kWarpThreads; step *= 2) {
        const int other = __shfl_up_sync(kFullWarp, sum, step);
        if (lane >= step) sum += other;
      }
      sum += before;
      if (e < experts) ends[e] = sum;
      before = __shfl_sync(kFullWarp, sum, device::kWarpThreads - 1);
    }
  }
  __syncthreads();  // the list is there
}

// By a whole warp.
__device__ int expert_of(int entry, const int* ends, int experts) {
  int expert = 0;
  for (int first = 0; first < experts; first += device::kWarpThreads) {
    const int e = first + lane_index();
    expert += __popc(__ballot_sync(kFullWarp, e < experts && ends[e] <= entry));
  }
  return expert;
}

// The slabs of this block.
struct Share {
  int begin;
  int end;
};

__device__ Share share_of_block(int total) {
  const auto edge = [&](unsigned block) {
    return static_cast<int>(static_cast<std::int64_t>(total) * block / gridDim.x);
  };
  return {edge(blockIdx.x), edge(blockIdx.x + 1)};
}

// Of lane l < kQuads * parts: one copy of every stage.
struct QuadCopy {
  const std::uint8_t* from;
  std::int64_t expert_bytes;
  std::int64_t slab_bytes;
  unsigned to;
  unsigned bytes;
};

template <bool kGated>
__device__ QuadCopy quad_copy(const Product& a, const Plan& plan, int index) {
  const int part = index / kQuads;
  const int quad = index % kQuads;
  const bool second = quad >= kQuads / 2;
  const device::Weights& w = kGated && second ? a.up : a.weight;
  const void* bases[kParts] = {w.first.data, w.first.scales, w.first.zeros};
  const std::int64_t strides[kParts] = {w.data_bytes, w.scales_bytes, w.zeros_bytes};
  const int first_row = kQuadRows * (kGated ? quad % (kQuads / 2) : quad);
  QuadCopy copy = {};
#pragma unroll
  for (int p = 0; p < kParts; ++p) {
    if (p != part) continue;
    copy = {
        .from = static_cast<const std::uint8_t*>(bases[p]) +
                static_cast<std::int64_t>(first_row) * plan.row[p],
        .expert_bytes = strides[p],
        .slab_bytes = static_cast<std::int64_t>(kGated ? kSlabRows / 2 : kSlabRows) * plan.row[p],
        .to = plan.at[p] + static_cast<unsigned>(quad) * plan.quad[p],
        .bytes = kQuadRows * plan.row[p]};
  }
  return copy;
}

// The warp that fills stages: slab i of the block goes to stage i % stages.
template <bool kGated, bool kWithZeros>
__device__ void fill_stages(const Product& a, const Plan& plan, const Share& share, const int* ends,
                            std::uint32_t stages, std::uint32_t full, std::uint32_t empty) {
  constexpr int kCopies = kQuads * (kWithZeros ? 3 : 2);
  const int lane = lane_index();
  const QuadCopy copy = quad_copy<kGated>(a, plan, lane < kCopies ? lane : 0);
  const std::uint64_t policy = device::read_once_policy();
  const int experts = static_cast<int>(a.groups);
  int entry = share.begin / plan.slabs;
  int slab = share.begin % plan.slabs;
  int expert = expert_of(entry, ends, experts);
  int stage = 0;
  unsigned parity = 1;  // of the round before: nothing to wait for in the first
  for (int at = share.begin; at < share.end; ++at) {
    device::barrier_wait(empty + 8 * stage, parity);
    if (lane == 0) device::barrier_arrive_expecting(full + 8 * stage, plan.stage_copied);
    __syncwarp();  // bytes are announced
    if (lane < kCopies) {
      const std::uint8_t* from = copy.from + expert * copy.expert_bytes + slab * copy.slab_bytes;
      device::bulk_copy(stages + static_cast<unsigned>(stage) * plan.stage + copy.to, from,
                        copy.bytes, full + 8 * stage, policy);
    }
    if (++stage == plan.stages) {
      stage = 0;
      parity ^= 1U;
    }
    if (++slab == plan.slabs) {
      slab = 0;
      expert = expert_of(++entry, ends, experts);
    }
  }
}

// Where octet `octet` of row `row` of a tile lies, in units of sixteen bytes. Lanes that write one
// row, and lanes that read one octet of each, find eight different groups of banks.
__device__ int octet_place(int row, int octet) {
  const int word = octet % 4;
  const int lane = 4 * row + octet % kOctetsPerChunk / 4;
  return (octet / kOctetsPerChunk * 4 + word) * device::kWarpThreads + (lane ^ (word % 2 * 4));
}

// Brings the rows of an entry to shared memory: those of `expert` from number `first` on. Returns
// how many there are. A warp of the block takes every warps-th.
template <int kTiles>
__device__ int load_rows(const Product& a, int expert, int first, const std::uint16_t* ids,
                         int warp, int warps, std::int32_t* rows, uint4* activations) {
  const int lane = lane_index();
  int seen = 0;
  for (int i = lane; i - lane < a.rows && seen < first + kTiles * kTileRows;
       i += device::kWarpThreads) {
    const bool mine = i < a.rows && ids[i] == expert;
    const unsigned all = __ballot_sync(kFullWarp, mine);
    const int place = seen + __popc(all & ((1U << lane) - 1U)) - first;
    if (mine && place >= 0 && place < kTiles * kTileRows && place % warps == warp) rows[place] = i;
    seen += __popc(all);
  }
  __syncwarp();  // the rows of this warp are known
  const int count = min(seen - first, kTiles * kTileRows);
  const int octets = static_cast<int>(a.inputs) / 8;
  // Two neighbouring octets are a sector, four pairs of them eight groups of banks.
  const int own = lane / 16 * 16 + lane / 2 % 4 * 4 + lane / 8 % 2 * 2 + lane % 2;
  for (int place = warp; place < count; place += warps) {
    const auto* x = reinterpret_cast<const uint4*>(x_row(a, rows[place], 0));
    uint4* tile = activations + place / kTileRows * (octets * kTileRows);
#pragma unroll 4
    for (int octet = own; octet < octets; octet += device::kWarpThreads) {
      tile[octet_place(place % kTileRows, octet)] = device::int4_order(__ldcg(x + octet));
    }
  }
  return count;
}

// Which of eight rows of weights lies in a row of the tile's half.
__device__ int weight_row(int tile_row) {
  return tile_row % 2 * kQuadRows + tile_row / 2;
}

// sums[tile] += slab * activations, over the columns of this warp.
template <bool kWithZeros, int kTiles>
__device__ void multiply(const Product& a, const Plan& plan, const std::uint8_t* stage,
                         const uint4* activations, int warp, float (&sums)[kTiles][4]) {
  const int lane = lane_index();
  const int chunks = static_cast<int>(a.inputs) / kChunk;
  const unsigned tile_row = static_cast<unsigned>(lane) / 4;
  const auto lane_at = [&](Part part, unsigned half) {
    return plan.at[part] + (2 * half + tile_row % 2) * plan.quad[part] +
           tile_row / 2 * plan.row[part];
  };
  const unsigned shift = a.weight.first.group_shift;
  const uint4* x_even = activations + lane;
  const uint4* x_odd = activations + (lane ^ 4);
  for (int chunk = warp; chunk < chunks; chunk += kTeamWarps) {
    uint4 words[2];
    device::Int4Group groups[2];
    const unsigned group = (static_cast<unsigned>(chunk) * kChunk + lane % 4 * 32U) >> shift;
#pragma unroll
    for (unsigned half = 0; half < 2; ++half) {
      words[half] = *reinterpret_cast<const uint4*>(stage + lane_at(kData, half) +
                                                    static_cast<unsigned>(chunk) * kChunkBytes +
                                                    lane % 4 * 16);
      groups[half] = {.scale = *reinterpret_cast<const __nv_bfloat16*>(
                          stage + lane_at(kScales, half) + 2 * group),
                      .zero = kWithZeros ? stage[lane_at(kZeros, half) + group] : std::uint8_t{8}};
    }
#pragma unroll
    for (int word = 0; word < 4; ++word) {
      std::uint32_t pairs[2][4];
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const std::uint32_t bits = word == 0   ? words[half].x
                                   : word == 1 ? words[half].y
                                   : word == 2 ? words[half].z
                                               : words[half].w;
#pragma unroll
        for (int i = 0; i < 4; ++i) pairs[half][i] = device::int4_pair(bits, i, groups[half]);
      }
      const std::uint32_t front[4] = {pairs[0][0], pairs[1][0], pairs[0][1], pairs[1][1]};
      const std::uint32_t back[4] = {pairs[0][2], pairs[1][2], pairs[0][3], pairs[1][3]};
#pragma unroll
      for (int tile = 0; tile < kTiles; ++tile) {
        const uint4 x =
            (word % 2 == 0 ? x_even
                           : x_odd)[((tile * chunks + chunk) * 4 + word) * device::kWarpThreads];
        device::mma_16x8x16(sums[tile], front, x.x, x.y);
        device::mma_16x8x16(sums[tile], back, x.z, x.w);
      }
    }
  }
}

// What a team keeps from slab to slab.
struct Team {
  int index;
  int warp;  // of the team
  float4* partial;
  int turn = 0;  // which buffer, and which warp adds

  // The sum over the warps, in their order; in one warp, which is told by `true`.
  __device__ bool add(const float (&own)[4], float (&total)[4]) {
    float4* buffer = partial + turn % kBuffers * kBufferSums + lane_index();
    const int adding = turn % kTeamWarps;
    ++turn;
    // Whoever writes here next has met the adding warp at the barrier after this one.
    if (warp != adding) {
      buffer[(warp - (warp > adding ? 1 : 0)) * device::kWarpThreads] = {own[0], own[1], own[2],
                                                                         own[3]};
    }
    sync_threads(1 + index, kTeamWarps * device::kWarpThreads);  // the sums of all warps are there
    if (warp != adding) return false;
#pragma unroll
    for (int w = 0; w < kTeamWarps; ++w) {
      float4 part = {own[0], own[1], own[2], own[3]};
      if (w != adding) part = buffer[(w - (w > adding ? 1 : 0)) * device::kWarpThreads];
      total[0] = w == 0 ? part.x : total[0] + part.x;
      total[1] = w == 0 ? part.y : total[1] + part.y;
      total[2] = w == 0 ? part.z : total[2] + part.z;
      total[3] = w == 0 ? part.w : total[3] + part.w;
    }
    return true;
  }
};

template <bool kGated>
__device__ void store_tile(const Product& a, int slab, const std::int32_t* rows, int count,
                           const float (&total)[4]) {
  const int lane = lane_index();
  const int first = slab * (kGated ? kSlabRows / 2 : kSlabRows) + weight_row(lane / 4);
#pragma unroll
  for (int e = 0; e < 2; ++e) {
    const int n = 2 * (lane % 4) + e;
    if (n >= count) continue;
    if (kGated) {
      put(a, rows[n], 0, first, silu(total[e]) * total[2 + e]);
    } else {
      put(a, rows[n], 0, first, total[e]);
      put(a, rows[n], 0, first + kSlabRows / 2, total[2 + e]);
    }
  }
}

template <bool kGated, bool kWithZeros, int kTiles>
__device__ void work_on_slab(const Product& a, const Plan& plan, const std::uint8_t* stage,
                             const uint4* activations, Team& team, std::uint32_t empty, int slab,
                             const std::int32_t* rows, int count) {
  float sums[kTiles][4] = {};
  multiply<kWithZeros>(a, plan, stage, activations, team.warp, sums);
  __syncwarp();  // all lanes have read the stage
  if (lane_index() == 0) device::barrier_arrive(empty);
#pragma unroll
  for (int tile = 0; tile < kTiles; ++tile) {
    float total[4];
    if (!team.add(sums[tile], total)) continue;
    store_tile<kGated>(a, slab, rows + tile * kTileRows, count - tile * kTileRows, total);
  }
}

#endif

template <bool kGated, bool kWithZeros, int kTiles, int kTeams>
__global__ void __launch_bounds__(threads_of(kTeams), 1)
    bulk_kernel(const __grid_constant__ Product a, const __grid_constant__ Plan plan) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  extern __shared__ __align__(128) std::uint8_t memory[];
  constexpr int kWarps = kTeams * kTeamWarps;
  const int warp = static_cast<int>(threadIdx.x) / device::kWarpThreads;
  int* ends = reinterpret_cast<int*>(memory + plan.ends_at);
  auto* ids = reinterpret_cast<std::uint16_t*>(memory + plan.ids_at);
  const std::uint32_t full = device::shared_address(memory + plan.barriers_at);
  const std::uint32_t empty = full + 8 * plan.stages;
  if (threadIdx.x == 0) {
    for (int i = 0; i < plan.stages; ++i) {
      device::barrier_set_up(full + 8 * i, 1);
      device::barrier_set_up(empty + 8 * i, kTeamWarps);
    }
    device::barriers_are_set_up();
  }
  if (!a.row_group_early) device::wait_for_earlier_kernels();
  list_entries(a, kTiles * kTileRows, ends, ids);
  const Share share = share_of_block(ends[a.groups - 1] * plan.slabs);
  if (warp == kWarps) {
    // Weights depend on nothing.
    fill_stages<kGated, kWithZeros>(a, plan, share, ends,
                                    device::shared_address(memory + plan.stages_at), full, empty);
    return;
  }
  if (a.row_group_early) device::wait_for_earlier_kernels();
  device::let_later_kernels_start();

  auto* activations = reinterpret_cast<uint4*>(memory);
  auto* rows = reinterpret_cast<std::int32_t*>(memory + plan.rows_at);
  Team team{.index = warp / kTeamWarps,
            .warp = warp % kTeamWarps,
            .partial = reinterpret_cast<float4*>(memory + plan.partial_at) +
                       warp / kTeamWarps * kTeamSums};
  int at = share.begin + team.index;
  int stage = team.index;
  unsigned parity = 0;
  for (int first = share.begin; first < share.end;) {
    const int entry = first / plan.slabs;
    const int end = min(share.end, (entry + 1) * plan.slabs);
    const int expert = expert_of(entry, ends, static_cast<int>(a.groups));
    const int first_row = (entry - (expert > 0 ? ends[expert - 1] : 0)) * kTiles * kTileRows;
    if (first != share.begin) {
      sync_threads(1 + kTeams, kWarps * device::kWarpThreads);  // nobody reads the last rows
    }
    const int count = load_rows<kTiles>(a, expert, first_row, ids, warp, kWarps, rows, activations);
    sync_threads(1 + kTeams, kWarps * device::kWarpThreads);  // the rows are there
    for (; at < end; at += kTeams) {
      device::barrier_wait(full + 8 * stage, parity);
      const std::uint8_t* weights =
          memory + plan.stages_at + static_cast<unsigned>(stage) * plan.stage;
      const int slab = at - entry * plan.slabs;
      if (kTiles == 1 || count <= kTileRows) {
        work_on_slab<kGated, kWithZeros, 1>(a, plan, weights, activations, team, empty + 8 * stage,
                                            slab, rows, count);
      } else {
        work_on_slab<kGated, kWithZeros, kTiles>(a, plan, weights, activations, team,
                                                 empty + 8 * stage, slab, rows, count);
      }
      stage += kTeams;
      if (stage >= plan.stages) {
        stage -= plan.stages;
        parity ^= 1U;
      }
    }
    first = end;
  }
#endif
}

// --- the host's side

struct Limits {
  int multiprocessors = 0;
  unsigned shared_bytes = 0;  // of a block
};

Limits limits_of_device() {
  int device = 0;
  (void)cudaGetDevice(&device);
  const auto read = [&](cudaDeviceAttr which) {
    int value = 0;
    (void)cudaDeviceGetAttribute(&value, which, device);
    return value;
  };
  return {.multiprocessors = read(cudaDevAttrMultiProcessorCount),
          .shared_bytes = static_cast<unsigned>(read(cudaDevAttrMaxSharedMemoryPerBlockOptin))};
}

constexpr unsigned padded(std::size_t bytes, unsigned to) {
  return static_cast<unsigned>((bytes + to - 1) / to * to);
}

struct Sizes {
  int tiles;
  int teams;
};

// With as many stages as there is room for; none if there is not even one a team.
Plan plan_for(const Product& a, const Sizes& sizes, const Limits& limits) {
  const device::Weight& w = a.weight.first;
  Plan plan = {};
  plan.row[kData] = static_cast<unsigned>(w.row_bytes);
  plan.row[kScales] = w.groups * 2;
  plan.row[kZeros] = w.zeros != nullptr ? w.groups : 0;
  unsigned at = 0;
  for (int part = 0; part < kParts; ++part) {
    plan.at[part] = at;
    if (plan.row[part] == 0) continue;
    plan.quad[part] = kQuadRows * plan.row[part] + kShift[static_cast<std::size_t>(part)];
    plan.stage_copied += kSlabRows * plan.row[part];
    at = padded(at + kQuads * plan.quad[part], 128);
  }
  plan.stage = at;
  plan.slabs = static_cast<int>(a.outputs / (a.gated ? kSlabRows / 2 : kSlabRows));

  constexpr std::size_t kStagesMax = 32;
  const auto teams = static_cast<std::size_t>(sizes.teams);
  const std::size_t rows = static_cast<std::size_t>(sizes.tiles) * kTileRows;
  const std::size_t activations = rows * static_cast<std::size_t>(a.inputs) * 2;
  const std::size_t partial = teams * kTeamSums * sizeof(float4);
  const std::size_t barriers = 2 * kStagesMax * sizeof(std::uint64_t);
  const std::size_t ends = static_cast<std::size_t>(a.groups) * sizeof(int);
  const std::size_t ids = static_cast<std::size_t>(a.rows) * sizeof(std::uint16_t);
  const std::size_t fixed =
      activations + partial + barriers + ends + rows * sizeof(std::int32_t) + ids;
  const std::size_t room = fixed < limits.shared_bytes ? limits.shared_bytes - fixed : 0;
  const std::size_t stages = std::min(room / plan.stage, kStagesMax) / teams * teams;
  plan.stages = static_cast<int>(stages);
  plan.stages_at = static_cast<unsigned>(activations);
  plan.partial_at = plan.stages_at + static_cast<unsigned>(stages) * plan.stage;
  plan.barriers_at = plan.partial_at + static_cast<unsigned>(partial);
  plan.ends_at = plan.barriers_at + static_cast<unsigned>(barriers);
  plan.rows_at = plan.ends_at + static_cast<unsigned>(ends);
  plan.ids_at = plan.rows_at + static_cast<unsigned>(rows * sizeof(std::int32_t));
  plan.total = plan.ids_at + static_cast<unsigned>(ids);
  return plan;
}

// Most experts of a few rows have no more than one tile of them. Long rows of weights leave room
// for fewer stages.
constexpr std::int64_t kOneTileRowsPerGroup = 6;
constexpr std::array<Sizes, 4> kSizes = {{{2, 4}, {2, 2}, {1, 4}, {1, 2}}};

std::optional<Sizes> sizes_for(const Product& a, const Limits& limits) {
  for (const Sizes& sizes : kSizes) {
    if (sizes.tiles > 1 && a.rows <= kOneTileRowsPerGroup * a.groups) continue;
    if (plan_for(a, sizes, limits).stages > 0) return sizes;
  }
  return std::nullopt;
}

template <bool kGated, bool kWithZeros, int kTiles, int kTeams>
cudaError_t launch(const Product& a, const Limits& limits, cudaStream_t stream) {
  const Plan plan = plan_for(a, {.tiles = kTiles, .teams = kTeams}, limits);
  const auto kernel = &bulk_kernel<kGated, kWithZeros, kTiles, kTeams>;
  if (const cudaError_t code = cudaFuncSetAttribute(
          kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(plan.total));
      code != cudaSuccess) {
    return code;
  }
  return launch_early({.grid = static_cast<unsigned>(limits.multiprocessors),
                       .threads = threads_of(kTeams),
                       .shared_bytes = plan.total},
                      kernel, stream, a, plan);
}

template <bool kGated, bool kWithZeros>
cudaError_t launch(const Product& a, cudaStream_t stream) {
  const Limits limits = limits_of_device();
  const std::optional<Sizes> sizes = sizes_for(a, limits);
  GLM_CHECK(sizes);
  if (sizes->tiles == 1) {
    return sizes->teams == 4 ? launch<kGated, kWithZeros, 1, 4>(a, limits, stream)
                             : launch<kGated, kWithZeros, 1, 2>(a, limits, stream);
  }
  return sizes->teams == 4 ? launch<kGated, kWithZeros, 2, 4>(a, limits, stream)
                           : launch<kGated, kWithZeros, 2, 2>(a, limits, stream);
}

bool aligned(const void* address) {
  return reinterpret_cast<std::uintptr_t>(address) % 16 == 0;
}

bool copyable(const Product& a, const device::Weight& w) {
  const bool zeros = w.zeros == nullptr || (w.groups % 4 == 0 && aligned(w.zeros));
  return w.groups % 2 == 0 && aligned(w.data) && aligned(w.scales) && zeros &&
         (w.zeros == nullptr) == (a.weight.first.zeros == nullptr) && w.order == nullptr &&
         w.group_shift == a.weight.first.group_shift;
}

}  // namespace

bool supports_bulk(const Product& a) {
  if (a.row_group == nullptr || a.bias != nullptr || a.weight_rows_per_group != 0 ||
      a.rows > kRowsMax || !fits_tensor_cores(a) || !is_fast_int4(a) || a.inputs % kChunk != 0 ||
      a.outputs % kSlabRows != 0 || a.groups > UINT16_MAX) {
    return false;
  }
  return copyable(a, a.weight.first) && (!a.gated || copyable(a, a.up.first)) &&
         has_bulk_copies() && sizes_for(a, limits_of_device());
}

cudaError_t launch_bulk(const Product& a, cudaStream_t stream) {
  const bool zeros = a.weight.first.zeros != nullptr;
  if (a.gated) return zeros ? launch<true, true>(a, stream) : launch<true, false>(a, stream);
  return zeros ? launch<false, true>(a, stream) : launch<false, false>(a, stream);
}

}  // namespace glm::kernels::cuda
