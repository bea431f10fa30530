// Routed experts in bf16: the time is that of the weights, and they flow as in
// product_flow.cu. All units of all experts that somebody chose are one line, of which every block
// has an equal piece. Rows are in the order of experts, so that a box has those of one. Of up to 32
// tokens the first half takes all as they come, and leaves out who has not chosen an expert when it
// stores; of more, blocks gather them first. Then, and between the halves, blocks wait for each
// other while weights flow in.
//
// A sum runs along the columns in their order, whatever the other tokens are.
#include "kernels/cuda/early_launch.h"
#include "kernels/cuda/expert_choice.cuh"
#include "kernels/cuda/expert_flow.h"
#include "kernels/cuda/flow_codecs.cuh"
#include "kernels/cuda/product_rows.cuh"
#include "kernels/device/blocks_meet.cuh"
#include "kernels/device/octet.cuh"
#include "kernels/device/sync_threads.cuh"
#include "kernels/device/tensor_copy.cuh"

namespace glm::kernels::cuda {
namespace {

// Whether activations are gathered in the order of experts: all tokens beside every unit would be
// much to read.
template <int kRows>
constexpr bool kGathers = kRows > 32;

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

// This block's rows of activations, in the order of experts. All workers.
__device__ void gather(const ExpertFlow& a, const Choice& choice) {
  const int octets = a.hidden / device::kOctet;
  const int rows = a.tokens * a.chosen;
  for (int row = static_cast<int>(blockIdx.x); row < rows; row += static_cast<int>(gridDim.x)) {
    const __nv_bfloat16* from = a.x + choice.pairs[row] / a.chosen * a.x_stride;
    __nv_bfloat16* to = a.gathered + static_cast<std::int64_t>(row) * a.hidden;
    for (int at = static_cast<int>(threadIdx.x); at < octets; at += kFlowWorkers) {
      device::write_octet(to + at * device::kOctet, device::read_octet(from + at * device::kOctet));
    }
  }
}

template <int kRows>
class Filler {
 public:
  __device__ Filler(const ExpertFlow& a, const Choice& choice, const FlowRing& ring)
      : a_(a), choice_(choice), ring_(ring), policy_(device::read_once_policy()) {}

  // `rows_done`: barriers that are passed when this block has stored its rows of each half.
  __device__ void run(int most_units, std::uint32_t rows_done) {
    fill<0>(most_units, rows_done, kGathers<kRows>);
    fill<1>(most_units, rows_done + 8, true);
  }

 private:
  template <int kHalf>
  __device__ void fill(int most_units, std::uint32_t rows_done, bool meets) {
    Piece piece(a_.half[kHalf], choice_, most_units);
    Piece late = piece;
    int late_stage = ring_.stage;
    int early = 0;
    for (; early < ring_.stages && piece.there(); ++early, piece.next_step()) {
      copy_weights<kHalf>(piece);
      advance();
    }
    if (meets) {
      device::barrier_wait(rows_done, 0);
      device::blocks_meet(a_.meeting);
      device::memory_is_written();
    }
    for (; early > 0; --early, late.next_step()) {
      copy_rows<kHalf>(late, late_stage);
      if (++late_stage == ring_.stages) late_stage = 0;
    }
    for (; piece.there(); piece.next_step()) {
      copy_weights<kHalf>(piece);
      copy_rows<kHalf>(piece, ring_.stage);
      advance();
    }
  }

  __device__ void advance() {
    ++filled_;
    ring_.next();
  }

  // To the next stage, once it is empty.
  template <int kHalf>
  __device__ void copy_weights(const Piece& piece) {
    if (filled_ >= ring_.stages) {
      device::barrier_wait(ring_.empty + 8 * ring_.stage, ring_.parity ^ 1U);
    }
    const Tile& tile = piece.tile();
    const std::uint32_t full = ring_.full + 8 * ring_.stage;
    device::barrier_arrive_expecting(full, static_cast<unsigned>(tile.units) * kExpertUnitBytes +
                                               row_boxes<kHalf>(tile) * kExpertRowBoxBytes);
#pragma unroll 1
    for (int i = 0; i < tile.units; ++i) {
      constexpr int kEights = kHalf == 0 ? kExpertUnitRows / 16 : kExpertUnitRows / 8;
      device::copy_box_of_five(ring_.at(ring_.stage) + static_cast<unsigned>(i) * kExpertUnitBytes,
                               &a_.half[kHalf].weights,
                               {.column = piece.step() * kFlowDepth,
                                .second = 0,
                                .third = 0,
                                .fourth = (tile.first_unit + i) * kEights,
                                .outer = tile.expert},
                               full, policy_);
    }
  }
  template <int kHalf>
  __device__ unsigned row_boxes(const Tile& tile) const {
    const int rows = kAsTheyCome<kHalf> ? a_.tokens : __popcll(choice_.masks[tile.expert]);
    return (static_cast<unsigned>(rows) + kExpertBoxRows - 1) / kExpertBoxRows;
  }
  template <int kHalf>
  __device__ void copy_rows(const Piece& piece, int stage) const {
    const Tile& tile = piece.tile();
    const int first = kAsTheyCome<kHalf> ? 0 : choice_.firsts[tile.expert];
    const unsigned boxes = row_boxes<kHalf>(tile);
#pragma unroll 1
    for (unsigned box = 0; box < boxes; ++box) {
      device::copy_box(ring_.at(stage) + ring_.rows_at + box * kExpertRowBoxBytes,
                       a_.half[kHalf].rows,
                       {.column = piece.step() * kFlowDepth,
                        .middle = first + static_cast<int>(box) * kExpertBoxRows,
                        .outer = 0},
                       ring_.full + 8 * stage);
    }
  }

  template <int kHalf>
  static constexpr bool kAsTheyCome = kHalf == 0 && !kGathers<kRows>;
  const ExpertFlow& a_;
  const Choice& choice_;
  FlowRing ring_;
  std::uint64_t policy_;
  int filled_ = 0;
};

template <int kRows>
__device__ void store_inner(const ExpertFlow& a, const Choice& choice, const Tile& tile,
                            const float (&sums)[kRows / 2]) {
  const int weight_row = flow_weight_row();
  if (weight_row >= tile.units * kExpertUnitRows) return;
  const int output = tile.first_unit * (kExpertUnitRows / 2) + flow_gated_output(weight_row);
  const unsigned long long mask = choice.masks[tile.expert];
  const int rows = __popcll(mask);
#pragma unroll
  for (int i = 0; i < kRows / 2; ++i) {
    if (i / 2 % 2 != 0) continue;  // of the other half
    int row = flow_row_of(i);
    if (kGathers<kRows> ? row >= rows : (mask >> row & 1U) == 0) continue;
    if (!kGathers<kRows>) row = tokens_before(mask, row);
    const float gate = a.up_first ? sums[i + 2] : sums[i];
    const float up = a.up_first ? sums[i] : sums[i + 2];
    const std::int64_t at = static_cast<std::int64_t>(choice.firsts[tile.expert] + row) * a.wide;
    device::store(a.inner + at + output, silu(gate) * up);
  }
}

template <int kRows>
__device__ void store_outer(const ExpertFlow& a, const Choice& choice, const Tile& tile,
                            const float (&sums)[kRows / 2]) {
  const int weight_row = flow_weight_row();
  if (weight_row >= tile.units * kExpertUnitRows) return;
  const int output = tile.first_unit * kExpertUnitRows + weight_row;
  const int rows = __popcll(choice.masks[tile.expert]);
  const std::uint16_t* pairs = choice.pairs + choice.firsts[tile.expert];
#pragma unroll
  for (int i = 0; i < kRows / 2; ++i) {
    if (flow_row_of(i) >= rows) continue;
    const int pair = pairs[flow_row_of(i)];
    a.out[static_cast<std::int64_t>(pair) * a.hidden + output + i / 2 % 2 * 8] =
        sums[i] * a.factors[pair];
  }
}

template <int kRows, int kHalf>
__device__ void work(const ExpertFlow& a, const Choice& choice, int most_units, FlowRing& ring) {
  for (Piece piece(a.half[kHalf], choice, most_units); piece.there(); piece.next_tile()) {
    float sums[kRows / 2] = {};
    FlowBf16::multiply<kRows>(ring, piece.tile().units * kExpertUnitRows, a.half[kHalf].steps,
                              sums);
    if (kHalf == 0) {
      store_inner<kRows>(a, choice, piece.tile(), sums);
    } else {
      store_outer<kRows>(a, choice, piece.tile(), sums);
    }
  }
}

#endif

template <int kRows>
__global__ void __launch_bounds__(kFlowThreads, 1)
    expert_flow_kernel(const __grid_constant__ ExpertFlow a) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  extern __shared__ std::uint8_t unaligned[];
  const std::uint32_t address = device::shared_address(unaligned);
  const std::uint32_t base = (address + kFlowAlignment - 1) / kFlowAlignment * kFlowAlignment;
  std::uint8_t* memory = unaligned + (base - address);
  const Choice choice(a, memory);
  FlowRing ring{.memory = base,
                .full = base + a.barriers_at,
                .empty = base + a.barriers_at + 8U * kExpertStagesMax,
                .stages = kExpertStagesMax,
                .stage_bytes = 0,
                .rows_at = 0};
  const std::uint32_t rows_done = ring.empty + 8U * kExpertStagesMax;  // of each half
  if (threadIdx.x == 0) {
    set_up_ring(ring);
    device::barrier_set_up(rows_done, 1);
    device::barrier_set_up(rows_done + 8, 1);
    device::barriers_are_set_up();
  }
  for (int e = static_cast<int>(threadIdx.x); e < a.experts; e += kFlowThreads) {
    choice.masks[e] = 0;
  }
  __syncthreads();  // barriers are set up, masks are zero
  device::wait_for_earlier_kernels();
  device::let_later_kernels_start();
  list_choice(a, choice);
  const int most_units = units_of_tiles(a, choice);
  ring.rows_at = static_cast<unsigned>(most_units) * kExpertUnitBytes;
  ring.stage_bytes = ring.rows_at + kRows * kFlowDepth * 2;
  // The last warpgroup may read beyond a stage what nobody stores.
  const unsigned room = a.barriers_at - kExpertUnitBytes;
  ring.stages = min(static_cast<int>(room / ring.stage_bytes), kExpertStagesMax);
  if (threadIdx.x >= kFlowWorkers) {
    if (threadIdx.x == kFlowWorkers) Filler<kRows>(a, choice, ring).run(most_units, rows_done);
    return;
  }
  if (kGathers<kRows>) {
    gather(a, choice);
    device::sync_threads(1, kFlowWorkers);  // all rows of this block are there
    if (threadIdx.x == 0) device::barrier_arrive(rows_done);
  }
  work<kRows, 0>(a, choice, most_units, ring);
  device::sync_threads(1, kFlowWorkers);  // all of this block is stored
  if (threadIdx.x == 0) device::barrier_arrive(rows_done + 8);
  work<kRows, 1>(a, choice, most_units, ring);
#else
  __trap();  // built for another device
#endif
}

template <int kRows>
cudaError_t launch(const Product& inner, const Product& outer, const MoeWorkspace& space,
                   cudaStream_t stream) {
  if constexpr (kRows > FlowBf16::kFewestRows) {
    if (inner.rows / inner.x_divisor <= kRows / 2) {
      return launch<kRows / 2>(inner, outer, space, stream);
    }
  }
  ExpertFlow flow = {};
  if (const cudaError_t code =
          make_expert_flow(inner, outer, kGathers<kRows> ? space.gathered : nullptr, flow);
      code != cudaSuccess) {
    return code;
  }
  flow.meeting = space.meetings;
  const auto kernel = &expert_flow_kernel<kRows>;
  if (const cudaError_t code = cudaFuncSetAttribute(
          kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(flow.total));
      code != cudaSuccess) {
    return code;
  }
  return launch_early({.grid = static_cast<unsigned>(bulk_limits().multiprocessors),
                       .threads = kFlowThreads,
                       .shared_bytes = flow.total},
                      kernel, stream, flow);
}

}  // namespace

cudaError_t launch_expert_flow(const Product& inner, const Product& outer,
                               const MoeWorkspace& space, cudaStream_t stream) {
  return launch<kFlowRowsMax>(inner, outer, space, stream);
}

}  // namespace glm::kernels::cuda
