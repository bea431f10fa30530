// A norm folded into a product of the variant "held": every block norms the rows it multiplies.
// Half of the threads have the even rows, an octet each, the others the odd ones; squares are added
// in the tree of rms_norm.cu, so that the bits are the same. The first block leaves the sum with
// the residual where others read it later.
//
// The kernel in front has most often had all multiprocessors to itself, so that blocks start as it
// ends; they decode their weights while they wait for each other's squares. The kernel behind may
// start at once: it has then read its weights when it is wanted.
#include "kernels/cuda/normed_held.h"

#include "kernels/cuda/bulk_plan.h"
#include "kernels/cuda/early_launch.h"
#include "kernels/cuda/product_held.cuh"
#include "kernels/device/bulk_copy.cuh"

namespace glm::kernels::cuda {
namespace {

constexpr unsigned kHalf = kHeldThreads / 2;
constexpr unsigned kHalfWarps = kHeldWarps / 2;
constexpr unsigned kInputsMax = kHalf * device::kOctet;
static_assert(kInputsMax == held_inputs_max(kHeldShortSteps) && kHalfWarps == 8);

// As device::warp_sum() of eight lanes, beside which there are zeros.
__device__ inline float sum_of_eight(const float* parts) {
  const float4 a = reinterpret_cast<const float4*>(parts)[0];
  const float4 b = reinterpret_cast<const float4*>(parts)[1];
  return ((a.x + b.x) + (a.z + b.z)) + ((a.y + b.y) + (a.w + b.w));
}

// Of several rows and tiles, which take long, weights are decoded before the kernel in front has
// ended, and rows come to shared memory: there are no registers for both. A thread reads only what
// it has copied.
template <class Tiles, int kRows>
constexpr bool kIsEarly = Tiles::kStaged&& kRows > 1;

// kRows: of each half of the threads.
template <class Tiles, int kRows>
__global__ void __launch_bounds__(kHeldThreads, 1)
    normed_held_kernel(const __grid_constant__ Product a, const __grid_constant__ HeldNorm norm,
                       unsigned rows_at) {
  extern __shared__ __align__(16) unsigned char memory[];
  __shared__ __align__(16) float squares[2 * kRows][kHalfWarps];
  device::let_later_kernels_start();
  Tiles tiles(a, blockIdx.x, memory);
  const HeldMemory<Tiles> shared(a, memory);
  const auto rows = static_cast<unsigned>(a.rows);
  const unsigned half = threadIdx.x / kHalf;
  const unsigned c = threadIdx.x % kHalf * device::kOctet;
  const bool there = c < a.inputs;
  const uint4 weight = there ? device::read_octet(norm.weight + c) : uint4{};
  constexpr bool kEarly = kIsEarly<Tiles, kRows>;
  if constexpr (kEarly) {
    tiles.decode(a);
    // Once; but the assembler does not move decoding across a loop, to where it is used.
#pragma unroll 1
    for (unsigned row = 0; row < rows; row += 2 * kRows) device::wait_for_earlier_kernels();
  } else {
    device::wait_for_earlier_kernels();
  }

  uint4 in_registers[2 * kRows] = {};
  auto* const in_shared = reinterpret_cast<uint4*>(memory + rows_at) + threadIdx.x;
  const auto own = [&](int i) -> uint4& {
    return kEarly ? in_shared[i * static_cast<int>(kHeldThreads)] : in_registers[i];
  };
  const auto read = [&](int i, const __nv_bfloat16* from) {
    if constexpr (kEarly) {
      device::copy_async_16(device::shared_address(&own(i)), from, true);
    } else {
      own(i) = device::read_octet(from);
    }
  };
#pragma unroll
  for (int i = 0; i < kRows; ++i) {
    const unsigned row = 2 * i + half;
    if (row >= rows || !there) break;
    read(i, static_cast<const __nv_bfloat16*>(a.x) + row * a.x_stride + c);
    if (norm.residual == nullptr) continue;
    read(kRows + i, norm.residual + row * norm.residual_stride + c);
  }
  if constexpr (kEarly) {
    device::copy_async_commit();
    device::copy_async_wait<0>();
  }
#pragma unroll
  for (int i = 0; i < kRows; ++i) {
    const unsigned row = 2 * i + half;
    if (row >= rows) break;
    uint4 x = there ? own(i) : uint4{};
    if (norm.residual != nullptr && there) {
      x = device::octet_sum(x, own(kRows + i));
      if (blockIdx.x == 0) device::write_octet(norm.sum + row * norm.sum_stride + c, x);
    }
    own(i) = x;
    const float sum = device::warp_sum(device::octet_squares(x));
    if (held_lane() == 0) squares[row][held_warp() % kHalfWarps] = sum;
  }
  if constexpr (!kEarly) tiles.decode(a);
  if constexpr (kEarly || !Tiles::kStaged) __syncthreads();  // else they have met there
  // The sums of all warps are there.
  const unsigned pitch = held_pitch(static_cast<unsigned>(a.inputs));
  // Of each row by one lane of every warp: root and quotient take some eighty instructions.
  float scale = 0;
  if (held_lane() < rows) {
    const float mean = sum_of_eight(squares[held_lane()]) / static_cast<float>(a.inputs);
    scale = 1.0F / sqrtf(mean + norm.eps);
  }
#pragma unroll
  for (int i = 0; i < kRows; ++i) {
    const unsigned row = 2 * i + half;
    const float own_scale = __shfl_sync(0xFFFFFFFFU, scale, static_cast<int>(row));
    if (row >= rows || c >= pitch - device::kOctet) continue;  // zeros up to a whole step
    const uint4 normed = device::octet_normed(own(i), weight, own_scale);
    device::write_octet(shared.x + row * pitch + c, device::int4_order(normed));
  }
  __syncthreads();  // normed rows are there
  tiles.multiply(a, shared.x);
  tiles.hand_out(a, shared.partial,
                 [&](unsigned row, unsigned output, float sum) { put(a, row, 0, output, sum); });
}

template <class Tiles>
unsigned rows_at(const Product& a) {
  return static_cast<unsigned>((HeldMemory<Tiles>::bytes(a) + 15) / 16 * 16);
}
template <class Tiles, int kRows>
std::size_t shared_bytes(const Product& a) {
  constexpr std::size_t kOfRows = 2 * kRows * kHeldThreads * sizeof(uint4);
  return rows_at<Tiles>(a) + (kIsEarly<Tiles, kRows> ? kOfRows : 0);
}

template <class Tiles, int kRows, unsigned kCluster = 1>
cudaError_t launch(const Product& a, const HeldNorm& norm, cudaStream_t stream) {
  const auto kernel = &normed_held_kernel<Tiles, kRows>;
  const std::size_t bytes = shared_bytes<Tiles, kRows>(a);
  if (const cudaError_t code = cudaFuncSetAttribute(
          kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes));
      code != cudaSuccess) {
    return code;
  }
  dim3 grid = product_grid(a, Tiles::kOutputs, kHeldRowsMax);
  grid.x = (grid.x + kCluster - 1) / kCluster * kCluster;
  return launch_early(
      {.grid = grid, .threads = kHeldThreads, .shared_bytes = bytes, .cluster = kCluster}, kernel,
      stream, a, norm, rows_at<Tiles>(a));
}

// Of few rows fewer blocks, beside which the kernel behind finds room. That is mla_decode or
// mla_batch, which have long to do before they need the rows: their clusters are wanted at once,
// and blocks here that were not in clusters, too, would leave no room for the last of them.
template <class Codec>
cudaError_t launch_coded(const Product& a, const HeldNorm& norm, cudaStream_t stream) {
  using OneTile = HeldTiles<Codec, kHeldShortSteps, 1, false>;
  using TwoTiles = HeldTiles<Codec, kHeldShortSteps, 2, false>;
  using ThreeTiles = HeldTiles<Codec, kHeldShortSteps, 3, false>;
  constexpr unsigned kCluster = 4;
  if constexpr (Codec::kMayBeStaged) {
    if (a.rows == 1 && ThreeTiles::can_be_staged(a)) {
      return launch<ThreeTiles, 1, kCluster>(a, norm, stream);
    }
  }
  if (a.rows <= 2) return launch<TwoTiles, 1>(a, norm, stream);
  if constexpr (Codec::kMayBeStaged) {
    if (ThreeTiles::can_be_staged(a) &&
        shared_bytes<ThreeTiles, kHeldRowsMax / 2>(a) <= bulk_limits().shared_bytes) {
      return launch<ThreeTiles, kHeldRowsMax / 2, kCluster>(a, norm, stream);
    }
  }
  return launch<OneTile, kHeldRowsMax / 2>(a, norm, stream);
}

}  // namespace

bool supports_normed_held(const Product& a) {
  return a.rows >= 1 && a.inputs <= kInputsMax && !a.out_f32 && supports_held(a);
}

cudaError_t launch_normed_held(const Product& a, const HeldNorm& norm, cudaStream_t stream) {
  if (is_fast_fp8(a)) return launch_coded<HeldFp8>(a, norm, stream);
  return is_fast_fp4(a) ? launch_coded<HeldFp4>(a, norm, stream)
                        : launch_coded<HeldInt4>(a, norm, stream);
}

}  // namespace glm::kernels::cuda
