// Two kernels. The first multiplies as product_flow.cu does, and each block keeps the best id of
// its tiles for each row; the second (sample_choose.cu) takes the best of all blocks.
//
// Results of a tile are four ids of a row each, for which a call of the random generator serves,
// once four lanes have exchanged theirs. As in sample_scan.cu ids have bounds of their scores
// first; what scores the warps of a block have found so far leaves few that need one.
#include "kernels/cuda/head_choice.h"

#include "kernels/cuda/early_launch.h"
#include "kernels/cuda/flow_codecs.cuh"
#include "kernels/cuda/flow_plan.h"
#include "kernels/cuda/flow_tiles.cuh"
#include "kernels/cuda/sample_row.cuh"
#include "kernels/cuda/sample_scores.cuh"
#include "kernels/device/sync_threads.cuh"

namespace glm::kernels::cuda {
namespace {

// Of a row of logits, in shared memory.
struct ChoiceRow {
  std::uint64_t seed;
  double per_temperature;
  float slope;
  std::int32_t position;
  std::int32_t end;    // of ids
  std::int32_t limit;  // of bounds, as rank_of() has them: rises
  bool draws;
};
// With more, choosing takes longer than storing and reading logits.
constexpr int kChoiceRowsMax = 32;
constexpr unsigned kChoiceBytes = kChoiceRowsMax * sizeof(ChoiceRow);

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

template <int kRows>
class Chooser {
 public:
  __device__ Chooser(ChoiceRow* rows, int count) : rows_(rows), count_(count) {
#pragma unroll
    for (SampleBest& best : best_) best = {.score = 0, .id = -1};
  }

  // All results of a tile. Before the exchange, sums of a set are two rows' (lane % 4 says which)
  // at two ids that are eight apart (lane / 4 says which); after it, four ids in a row of one row:
  // of the first or second by bit 2 of the lane, eight apart by bit 3, the lower or upper four by
  // bit 4.
  __device__ void take(const FlowTile& tile, const float (&sums)[kRows / 2]) {
#pragma unroll
    for (int set = 0; set < kSets; ++set) {
      float four[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) four[i] = sums[4 * set + i];
      exchange<4>(four[0], four[1], four[2], four[3]);
      exchange<8>(four[0], four[2], four[1], four[3]);
      const int weight_row = warp() * 16 + lane() / 8 % 2 * 8 + lane() / 16 * 4;
      const int row = row_of(set);
      if (row < count_ && weight_row < tile.weight_rows) {
        consider(set, rows_[row], tile.first_output + weight_row, four);
      }
    }
  }

  // What has been found of each row: lanes that differ in bits 3 and 4 have the same ones. `parts`
  // has room for those of all warps.
  __device__ void leave(SamplePart* parts) const {
#pragma unroll
    for (int set = 0; set < kSets; ++set) {
      SamplePart part = sampling::nothing();
      part.best = best_[set];
      part.finite = (not_finite_ >> set & 1U) == 0 ? 1 : 0;
      part = sampling::joined(part, sampling::from_lane(part, 8));
      part = sampling::joined(part, sampling::from_lane(part, 16));
      if (lane() < 8) parts[warp() * kRows + row_of(set)] = part;
    }
  }

 private:
  static constexpr int kSets = kRows / 8;  // of four ids of a row, in a tile

  __device__ static int lane() {
    return static_cast<int>(threadIdx.x) % device::kWarpThreads;
  }
  __device__ static int warp() {
    return static_cast<int>(threadIdx.x) / device::kWarpThreads;
  }
  __device__ static int row_of(int set) {
    return 8 * set + 2 * (lane() % 4) + lane() / 4 % 2;
  }

  // One of two steps in which four lanes turn four numbers of each around.
  template <int kMask>
  __device__ static void exchange(float& a, float& b, float& c, float& d) {
    const bool second = (lane() & kMask) != 0;
    const float first_back = __shfl_xor_sync(sampling::kFullWarp, second ? a : b, kMask);
    const float second_back = __shfl_xor_sync(sampling::kFullWarp, second ? c : d, kMask);
    (second ? a : b) = first_back;
    (second ? c : d) = second_back;
  }

  __device__ void consider(int set, ChoiceRow& row, int first, const float (&four)[4]) {
    draw::Words words = {};
    if (row.draws) words = draw::random_words(row.seed, row.position, first / 4);
    float bounds[4];
    unsigned open = 0;  // those that may be the best
    float limit = sampling::of_rank(*static_cast<volatile std::int32_t*>(&row.limit));
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const bool there = first + i < row.end;
      const float logit = fmaxf(four[i], draw::never());  // also of NaN
      if (there && !draw::is_finite(four[i])) not_finite_ |= 1U << set;
      bounds[i] = row.draws ? sampling::bound_of_draw(logit, row.slope, words.word[i]) : logit;
      if (there && !(bounds[i] < limit)) open |= 1U << i;
    }
    while (open != 0) {
      int own = -1;
      float bound = 0;
      float logit = 0;
      std::uint32_t random = 0;
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        if ((open >> i & 1U) == 0 || (own >= 0 && bounds[i] <= bound)) continue;
        own = i;
        bound = bounds[i];
        logit = four[i];
        random = words.word[i];
      }
      open &= ~(1U << own);
      if (bound < limit) continue;
      logit = fmaxf(logit, draw::never());
      const double score =
          row.draws ? draw::score(logit, row.per_temperature, random) : static_cast<double>(logit);
      best_[set] = sampling::better(best_[set], {.score = score, .id = first + own});
      const float own_limit = sampling::limit_of_bounds(score, row.draws);
      atomicMax(&row.limit, sampling::rank_of(own_limit));
      limit = fmaxf(limit, own_limit);
    }
  }

  ChoiceRow* rows_;
  int count_;
  SampleBest best_[kSets];
  unsigned not_finite_ = 0;  // of each set
};

#endif

template <int kRows>
__global__ void __launch_bounds__(kFlowThreads, 1)
    choice_kernel(const __grid_constant__ FlowMaps maps, const __grid_constant__ FlowPlan plan,
                  const __grid_constant__ sampling::Args a) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  extern __shared__ std::uint8_t unaligned[];
  const FlowRing empty_ring = flow_ring(plan, unaligned);
  std::uint8_t* stages = unaligned + (empty_ring.memory - device::shared_address(unaligned));
  auto* rows = reinterpret_cast<ChoiceRow*>(unaligned + plan.total);
  const auto thread = static_cast<int>(threadIdx.x);
  if (thread == 0) {
    set_up_ring(empty_ring);
    device::barriers_are_set_up();
  }
  if (thread < a.row_count) {
    const SampleRow row = a.rows[thread];
    const double per_temperature = draw::draws(row) ? draw::per_temperature(row) : 1;
    rows[thread] = {.seed = row.seed,
                    .per_temperature = per_temperature,
                    .slope = sampling::bound_slope(per_temperature),
                    .position = row.position,
                    .end = a.ids_of(row),
                    .limit = sampling::rank_of(-INFINITY),
                    .draws = draw::draws(row)};
  }
  __syncthreads();  // the barriers are set up, and rows
  if (thread >= kFlowWorkers) {
    if (thread == kFlowWorkers) FlowFiller<FlowBf16, kRows>(maps, plan, false, empty_ring).run();
    return;
  }
  device::wait_for_earlier_kernels();
  device::let_later_kernels_start();
  FlowRing ring = empty_ring;
  Chooser<kRows> chooser(rows, a.row_count);
  const int tiles = flow_tiles_of_block(plan);
  for (int number = 0; number < tiles; ++number) {
    const FlowTile tile = flow_tile_at(plan, number);
    float sums[kRows / 2] = {};
    FlowBf16::multiply<kRows>(ring, tile.weight_rows, tile.steps, sums);
    chooser.take(tile, sums);
    __syncwarp();  // products want whole warps
  }
  device::sync_threads(1, kFlowWorkers);  // stages have been used
  auto* parts = reinterpret_cast<SamplePart*>(stages);
  chooser.leave(parts);
  device::sync_threads(1, kFlowWorkers);  // parts of all warps are there
  if (thread >= a.row_count) return;
  SamplePart part = parts[thread];
  for (int warp = 1; warp < kFlowWorkers / device::kWarpThreads; ++warp) {
    part = sampling::joined(part, parts[warp * kRows + thread]);
  }
  a.parts(static_cast<unsigned>(thread))[blockIdx.x] = part;
#else
  __trap();  // built for another device
#endif
}

// With room for rows behind what the plan lays out.
FlowPlan plan_of(const Product& head, int rows) {
  BulkLimits limits = bulk_limits();
  limits.shared_bytes -= kChoiceBytes;
  FlowPlan plan = flow_plan(head, rows, limits);
  plan.total = (plan.total + 15) / 16 * 16;
  return plan;
}

template <int kRows>
cudaError_t launch(const Product& head, sampling::Args args, cudaStream_t stream) {
  if constexpr (kRows > FlowBf16::kFewestRows) {
    if (head.rows <= kRows / 2) return launch<kRows / 2>(head, args, stream);
  }
  const FlowPlan plan = plan_of(head, kRows);
  args.chunks = plan.blocks;
  FlowMaps maps;
  cudaError_t code = make_flow_maps(head, plan, kRows, maps);
  if (code != cudaSuccess) return code;
  const auto kernel = &choice_kernel<kRows>;
  const unsigned shared_bytes = plan.total + kChoiceBytes;
  code = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                              static_cast<int>(shared_bytes));
  if (code != cudaSuccess) return code;
  code = launch_early({.grid = static_cast<unsigned>(plan.blocks),
                       .threads = kFlowThreads,
                       .shared_bytes = shared_bytes},
                      kernel, stream, maps, plan, args);
  return code == cudaSuccess ? sampling::launch_choose(args, stream) : code;
}

}  // namespace

bool supports_head_choice(const Product& head, const Sample& a) {
  if (a.may_filter || a.may_look || head.rows == 0 || head.rows > kChoiceRowsMax ||
      head.bias != nullptr || head.weight.first.coding != device::Coding::bf16 ||
      !supports_flow(head)) {
    return false;
  }
  const FlowPlan plan = plan_of(head, kChoiceRowsMax);
  constexpr unsigned kPartsOfRow = kFlowWorkers / device::kWarpThreads * sizeof(SamplePart);
  return plan.parts == 1 && plan.blocks <= sample_parts(head.outputs) &&
         plan.barriers_at >= kChoiceRowsMax * kPartsOfRow;
}

cudaError_t launch_head_choice(const Product& head, const Sample& a, const SampleWorkspace& space,
                               cudaStream_t stream) {
  return launch<kChoiceRowsMax>(head, sampling::args_of(a, space), stream);
}

}  // namespace glm::kernels::cuda
