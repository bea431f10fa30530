// The projection in one of three ways. Of few tokens and in four bits or e4m3 a block's weights are
// decoded before the kernel in front has ended, as in the variants "held_wide" and "held"
// (product_held.cuh). Otherwise in four bits sixteen rows of weights come to shared memory until
// then, and activations afterwards: little code, as it is fetched anew for each launch
// (moe_layer.cu). In bf16 it is the variant "stream".
#include "kernels/cuda/moe_front.h"

#include <algorithm>

#include "kernels/cuda/aligned.h"
#include "kernels/cuda/bulk_codecs.cuh"
#include "kernels/cuda/device_weight.h"
#include "kernels/cuda/early_launch.h"
#include "kernels/cuda/moe_front_scores.cuh"
#include "kernels/cuda/moe_layer.h"
#include "kernels/cuda/moe_layer_math.cuh"
#include "kernels/cuda/product_held.cuh"
#include "kernels/cuda/product_stream.cuh"
#include "kernels/device/bulk_copy.cuh"
#include "kernels/device/octet.cuh"

namespace glm::kernels::cuda {
namespace {

constexpr int kFrontOutputs = 16;  // of a block
constexpr int kFrontThreads = 256;
constexpr int kWarps = kFrontThreads / device::kWarpThreads;
static_assert(kWarps == kStreamWarpsMax && kFrontOutputs == kStreamOutputs<false> &&
              kFrontOutputs == kSlabRows);

using NarrowFront = FrontBlock<kFrontOutputs, kFrontThreads>;

template <class Fetch>
__global__ void __launch_bounds__(kFrontThreads, 4) stream_front_kernel(Product a, Front f) {
  extern __shared__ __align__(16) std::uint8_t router[];
  __shared__ StreamSums<1> partial;
  __shared__ NarrowFront::Sums<kFrontRows> front_sums;
  const RowTile rows{.group = 0, .first = 0, .count = static_cast<std::int32_t>(a.rows)};
  StreamBlock<Fetch, 1, false> block(a, rows, blockIdx.x);
  block.begin();
  NarrowFront front(f, rows.count, router);
  device::wait_for_earlier_kernels();
  device::let_later_kernels_start();
  front.read_residual();
  const int n = lane_index() / 4;
  block.multiply({n < rows.count ? x_row(a, n, 0) : nullptr});
  block.hand_out(partial, [&](int, int, float value) { front.take(value, front_sums); });
  __syncthreads();  // the outputs of all rows are there
  front.add_scores(front_sums);
}

// In bytes of shared memory, after a slab.
struct SlabPlan {
  BulkPlan slab;
  unsigned router_at;
  unsigned x_at;
  unsigned x_pitch;  // from row to row
  unsigned total;
};

template <class Codec>
__global__ void __launch_bounds__(kFrontThreads, 3)
    slab_front_kernel(const __grid_constant__ Product a, const __grid_constant__ SlabPlan plan,
                      const __grid_constant__ Front f) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  extern __shared__ __align__(128) std::uint8_t memory[];
  __shared__ float partial[kWarps][kFrontRows][kFrontOutputs + 1];
  __shared__ NarrowFront::Sums<kFrontRows> front_sums;
  __shared__ std::uint64_t barriers[2];
  const int thread = static_cast<int>(threadIdx.x);
  const int warp = thread / device::kWarpThreads;
  const int lane = lane_index();
  const std::uint32_t full = device::shared_address(barriers);
  const std::uint32_t x_full = full + 8;
  const auto row_bytes = static_cast<unsigned>(a.inputs) * 2;
  if (thread == 0) {
    device::barrier_set_up(full, 1);
    device::barrier_set_up(x_full, 1);
    device::barriers_are_set_up();
    device::barrier_arrive_expecting(full, plan.slab.stage_copied);
    device::barrier_arrive_expecting(x_full, static_cast<unsigned>(a.rows) * row_bytes);
  }
  const auto unit = Codec::unit(a.weight.first);
  __syncthreads();  // barriers are set up
  // Some by each warp: copies of one warp follow each other, and each takes long to begin.
  if (lane == 0) {
    constexpr int kCopies = kQuads * Codec::kParts;
#pragma unroll 1
    for (int i = warp; i < kCopies; i += kWarps) {
      const QuadCopy copy = quad_copy<false>(a, plan.slab, i);
      device::bulk_copy(device::shared_address(memory) + copy.to,
                        copy.from + blockIdx.x * copy.slab_bytes, copy.bytes, full,
                        device::read_once_policy());
    }
  }
  __syncwarp();  // and go on together
  NarrowFront front(f, static_cast<int>(a.rows), memory + plan.router_at);
  device::wait_for_earlier_kernels();
  device::let_later_kernels_start();
  front.read_residual();
  if (lane == 0) {
#pragma unroll 1
    for (int row = warp; row < a.rows; row += kWarps) {
      device::bulk_copy(
          device::shared_address(memory + plan.x_at) + static_cast<unsigned>(row) * plan.x_pitch,
          x_row(a, row, 0), row_bytes, x_full);
    }
  }
  __syncwarp();
  const int row = min(lane / 4, static_cast<int>(a.rows) - 1);  // beyond the last: nobody takes it
  const auto* x = reinterpret_cast<const uint4*>(memory + plan.x_at +
                                                 static_cast<unsigned>(row) * plan.x_pitch) +
                  lane % 4 * 4;
  device::barrier_wait(full, 0);
  device::barrier_wait(x_full, 0);
  float sums[4] = {};
  multiply_slab<Codec>(
      a.weight.first, plan.slab, memory, warp, kWarps / kTeamWarps,
      static_cast<int>(a.inputs) / kChunk, SlabScales<Codec>(),
      [&](int chunk, int word) { return device::int4_order(x[chunk * kOctetsPerChunk + word]); },
      sums);
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    partial[warp][2 * (lane % 4) + i % 2][weight_row(lane / 4) + i / 2 * (kSlabRows / 2)] = sums[i];
  }
  __syncthreads();  // the sums of all warps are there
  if (front.row() < a.rows) {
    float sum = 0;
#pragma unroll
    for (int w = 0; w < kWarps; ++w) sum += partial[w][front.row()][front.output()];
    front.take(sum * unit, front_sums);
  }
  __syncthreads();  // the outputs of all rows are there
  front.add_scores(front_sums);
#else
  __trap();  // built for another device
#endif
}

// Forty outputs a block: one for each of the multiprocessors that mla_decode and mla_batch leave
// free.
constexpr int kFewRows = kHeldRowsMax / 2;
template <class Codec, int kRows = kFewRows>
using WideTiles = HeldTiles<Codec, kHeldLongSteps, 1, true, kRows>;
// In e4m3 sixteen, of which there are as many blocks as "held" has.
using Fp8Tiles = HeldTiles<HeldFp8, kHeldLongSteps, 1, false>;

template <class Tiles>
__global__ void __launch_bounds__(kHeldThreads, 1)
    held_front_kernel(const __grid_constant__ Product a, const __grid_constant__ Front f,
                      unsigned router_at) {
  extern __shared__ __align__(128) unsigned char memory[];
  constexpr int kRows = Tiles::kRowsMax;
  using Block = FrontBlock<Tiles::kOutputs, kHeldThreads>;
  __shared__ typename Block::template Sums<kRows> front_sums;
  Tiles tiles(a, blockIdx.x, memory);
  const HeldMemory<Tiles> shared(a, memory);
  Block front(f, static_cast<int>(a.rows), memory + router_at);
  tiles.decode(a);
  // Once; but the assembler does not move decoding across a loop, to where it is used.
#pragma unroll 1
  for (std::int64_t row = 0; row < a.rows; row += kRows) {
    device::wait_for_earlier_kernels();
    device::let_later_kernels_start();
  }
  front.read_residual();
  if constexpr (Tiles::kXInRegisters) {
    tiles.multiply_from_memory(a);
  } else {
    tiles.stage(a, shared.x);
    tiles.multiply(a, shared.x);
  }
  tiles.hand_out(a, shared.partial, [&](unsigned /*row*/, unsigned /*output*/, float sum) {
    front.take(sum, front_sums);
  });
  __syncthreads();  // the outputs of all rows are there
  front.add_scores(front_sums);
}

template <class Tiles>
unsigned router_at(const Product& a) {
  return static_cast<unsigned>((HeldMemory<Tiles>::bytes(a) + 15) / 16 * 16);
}
template <class Tiles>
std::size_t held_bytes_of(const Product& a, const Front& front) {
  return router_at<Tiles>(a) + FrontBlock<Tiles::kOutputs, kHeldThreads>::shared_bytes(front);
}
template <class Tiles>
bool has_room(const Product& a, const Front& front) {
  using Sums = typename FrontBlock<Tiles::kOutputs, kHeldThreads>::template Sums<Tiles::kRowsMax>;
  constexpr std::size_t kStatic = sizeof(Sums) + 64;
  return held_bytes_of<Tiles>(a, front) + kStatic <= bulk_limits().shared_bytes;
}
template <int kRows>
bool suits_wide(const Product& a, const Front& front) {
  Product few = a;
  few.rows = std::min<std::int64_t>(a.rows, kFewRows);
  const bool coded =
      is_fast_fp4(a) ? WideTiles<HeldFp4>::can_be_staged(a) : supports_held_wide(few);
  constexpr unsigned kInputsMax = held_inputs_max(kHeldLongSteps);
  constexpr unsigned kInputsMin =
      WideTiles<HeldInt4, kRows>::kXInRegisters ? kInputsMax : held_inputs_max(kHeldShortSteps) + 1;
  return coded && a.rows <= kRows && a.inputs >= kInputsMin && a.inputs <= kInputsMax &&
         a.outputs <= kFrontOutputs * bulk_limits().multiprocessors &&
         has_room<WideTiles<HeldInt4, kRows>>(a, front);
}

Product product_of(const Linear& a) {
  return {.out = a.out.data,
          .x = a.x.data,
          .weight = device_weights(a.weight),
          .out_stride = a.out.stride(0),
          .x_stride = a.x.stride(0),
          .rows = a.x.size(0),
          .outputs = a.out.size(1),
          .inputs = a.x.size(1)};
}

// Blocks of later kernels are to find room beside these.
template <class Kernel>
cudaError_t prepare(const Kernel& kernel, std::size_t shared_bytes) {
  const cudaError_t code =
      cudaFuncSetAttribute(kernel, cudaFuncAttributePreferredSharedMemoryCarveout,
                           static_cast<int>(cudaSharedmemCarveoutMaxShared));
  if (code != cudaSuccess) return code;
  return cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                              static_cast<int>(shared_bytes));
}

template <class Fetch>
cudaError_t launch_stream_front(const Product& a, const Front& front, cudaStream_t stream) {
  const auto kernel = &stream_front_kernel<Fetch>;
  if (const cudaError_t code = prepare(kernel, NarrowFront::shared_bytes(front));
      code != cudaSuccess) {
    return code;
  }
  return launch_early({.grid = static_cast<unsigned>(a.outputs / kFrontOutputs),
                       .threads = kFrontThreads,
                       .shared_bytes = NarrowFront::shared_bytes(front)},
                      kernel, stream, a, front);
}

SlabPlan slab_plan(const Product& a, const Front& front) {
  SlabPlan plan = {};
  plan.slab = bulk_plan(a, {.tiles = 1, .teams = 1}, bulk_limits());
  plan.router_at = plan.slab.stage;
  plan.x_at = plan.router_at + static_cast<unsigned>(NarrowFront::shared_bytes(front));
  plan.x_pitch = static_cast<unsigned>(a.inputs) * 2 + kRowShift;
  plan.total = plan.x_at + static_cast<unsigned>(a.rows) * plan.x_pitch;
  return plan;
}

template <class Tiles>
cudaError_t launch_held_front(const Product& a, const Front& front, cudaStream_t stream) {
  const auto kernel = &held_front_kernel<Tiles>;
  const std::size_t bytes = held_bytes_of<Tiles>(a, front);
  if (const cudaError_t code = prepare(kernel, bytes); code != cudaSuccess) return code;
  return launch_early({.grid = product_grid(a, Tiles::kOutputs, kHeldRowsMax),
                       .threads = kHeldThreads,
                       .shared_bytes = bytes},
                      kernel, stream, a, front, router_at<Tiles>(a));
}
template <int kRows>
cudaError_t launch_wide_front(const Product& a, const Front& front, cudaStream_t stream) {
  return is_fast_fp4(a) ? launch_held_front<WideTiles<HeldFp4, kRows>>(a, front, stream)
                        : launch_held_front<WideTiles<HeldInt4, kRows>>(a, front, stream);
}

template <class Codec>
cudaError_t launch_slab_front(const Product& a, const SlabPlan& plan, const Front& front,
                              cudaStream_t stream) {
  const auto kernel = &slab_front_kernel<Codec>;
  if (const cudaError_t code = prepare(kernel, plan.total); code != cudaSuccess) return code;
  return launch_early({.grid = static_cast<unsigned>(a.outputs / kFrontOutputs),
                       .threads = kFrontThreads,
                       .shared_bytes = plan.total},
                      kernel, stream, a, plan, front);
}

// There may be room for a slab.
bool suits_slab(const Product& a, std::int64_t experts) {
  Front front = {};
  front.experts = static_cast<int>(experts);
  constexpr unsigned kStatic = 8U << 10U;
  return supports_bulk(a) && slab_plan(a, front).total + kStatic <= bulk_limits().shared_bytes;
}

bool suits_fp8(const Product& a, std::int64_t experts) {
  Front front = {};
  front.experts = static_cast<int>(experts);
  return is_fast_fp8(a) && supports_held(a) &&
         a.outputs <= kFrontOutputs * bulk_limits().multiprocessors && has_room<Fp8Tiles>(a, front);
}

bool is_plain(const Product& a) {
  return a.weight.first.coding == device::Coding::bf16;
}

}  // namespace

bool supports_moe_front(const MoeLayer& a) {
  const Linear& projection = a.front.projection;
  if (projection.bias || projection.out.dtype != Dtype::bf16) return false;
  const Product product = product_of(projection);
  const WeightFormat format = a.router.layout.format;
  return product.rows >= 1 && product.rows <= kFrontRows && product.outputs % kFrontOutputs == 0 &&
         product.outputs / kFrontOutputs <= kFrontBlocksMax && fits_tensor_cores(product) &&
         a.router.layout.rows <= kFrontExpertsMax &&
         (format == WeightFormat::bf16 || format == WeightFormat::f32) && aligned(a.router.data) &&
         a.router.layout.cols % device::kOctet == 0 &&
         (is_plain(product) || suits_fp8(product, a.router.layout.rows) ||
          suits_slab(product, a.router.layout.rows));
}

cudaError_t launch_moe_front(const MoeLayer& a, const MoeWorkspace& space, cudaStream_t stream) {
  const RmsNorm& norm = a.front.norm;
  const Product product = product_of(a.front.projection);
  const Front front{.residual = static_cast<const __nv_bfloat16*>(norm.residual.data),
                    .norm = static_cast<const __nv_bfloat16*>(norm.weight.data),
                    .sum = static_cast<__nv_bfloat16*>(norm.sum.data),
                    .scores = space.scores,
                    .router = device_weight(a.router),
                    .residual_stride = norm.residual.stride(0),
                    .sum_stride = norm.sum.stride(0),
                    .experts = static_cast<int>(a.router.layout.rows),
                    .outputs = static_cast<int>(product.outputs)};
  if (is_plain(product)) return launch_stream_front<device::FetchBf16>(product, front, stream);
  if (is_fast_fp8(product)) return launch_held_front<Fp8Tiles>(product, front, stream);
  if (suits_wide<kFewRows>(product, front)) {
    return launch_wide_front<kFewRows>(product, front, stream);
  }
  if (suits_wide<kFrontRows>(product, front)) {
    return launch_wide_front<kFrontRows>(product, front, stream);
  }
  const SlabPlan plan = slab_plan(product, front);
  if (is_fast_fp4(product)) return launch_slab_front<BulkFp4>(product, plan, front, stream);
  return product.weight.first.zeros != nullptr
             ? launch_slab_front<BulkInt4Zeros>(product, plan, front, stream)
             : launch_slab_front<BulkInt4>(product, plan, front, stream);
}

}  // namespace glm::kernels::cuda
