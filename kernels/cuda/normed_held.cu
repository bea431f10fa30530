// A norm folded into a product of the variant "held": every block norms the rows it multiplies.
// Half of the threads have the even rows, an octet each, the others the odd ones; squares are added
// in the tree of rms_norm.cu, so that the bits are the same. The first block leaves the sum with
// the residual where others read it later.
//
// The kernel in front has most often had all multiprocessors to itself, so that blocks start as it
// ends; they decode their weights while they wait for each other's squares. The kernel behind may
// start at once: it has then read its weights when it is wanted.
#include "kernels/cuda/normed_held.h"

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

// kRows: of each half of the threads.
template <class Tiles, int kRows>
__global__ void __launch_bounds__(kHeldThreads, 1)
    normed_held_kernel(const __grid_constant__ Product a, const __grid_constant__ HeldNorm norm) {
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
  device::wait_for_earlier_kernels();

  uint4 x[kRows] = {};
  uint4 residual[kRows] = {};
#pragma unroll
  for (int i = 0; i < kRows; ++i) {
    const unsigned row = 2 * i + half;
    if (row >= rows || !there) break;
    x[i] = device::read_octet(static_cast<const __nv_bfloat16*>(a.x) + row * a.x_stride + c);
    if (norm.residual == nullptr) continue;
    residual[i] = device::read_octet(norm.residual + row * norm.residual_stride + c);
  }
#pragma unroll
  for (int i = 0; i < kRows; ++i) {
    const unsigned row = 2 * i + half;
    if (row >= rows) break;
    if (norm.residual != nullptr && there) {
      x[i] = device::octet_sum(x[i], residual[i]);
      if (blockIdx.x == 0) device::write_octet(norm.sum + row * norm.sum_stride + c, x[i]);
    }
    const float sum = device::warp_sum(device::octet_squares(x[i]));
    if (held_lane() == 0) squares[row][held_warp() % kHalfWarps] = sum;
  }
  tiles.decode(a);
  if constexpr (!Tiles::kStaged) __syncthreads();  // else they have met there
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
    const uint4 normed = device::octet_normed(x[i], weight, own_scale);
    device::write_octet(shared.x + row * pitch + c, device::int4_order(normed));
  }
  __syncthreads();  // normed rows are there
  tiles.multiply(a, shared.x);
  tiles.hand_out(a, shared.partial,
                 [&](unsigned row, unsigned output, float sum) { put(a, row, 0, output, sum); });
}

template <class Tiles, int kRows, unsigned kCluster = 1>
cudaError_t launch(const Product& a, const HeldNorm& norm, cudaStream_t stream) {
  const auto kernel = &normed_held_kernel<Tiles, kRows>;
  const std::size_t bytes = HeldMemory<Tiles>::bytes(a);
  if (const cudaError_t code = cudaFuncSetAttribute(
          kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes));
      code != cudaSuccess) {
    return code;
  }
  dim3 grid = product_grid(a, Tiles::kOutputs, kHeldRowsMax);
  grid.x = (grid.x + kCluster - 1) / kCluster * kCluster;
  return launch_early(
      {.grid = grid, .threads = kHeldThreads, .shared_bytes = bytes, .cluster = kCluster}, kernel,
      stream, a, norm);
}

// Of few rows fewer blocks, beside which the kernel behind finds room. For a single row that is
// mla_decode, which has long to do before it needs that row: its clusters are wanted at once, and
// blocks here that were not in clusters, too, would leave no room for the last of them.
template <class Codec>
cudaError_t launch_coded(const Product& a, const HeldNorm& norm, cudaStream_t stream) {
  using OneTile = HeldTiles<Codec, kHeldShortSteps, 1, false>;
  using TwoTiles = HeldTiles<Codec, kHeldShortSteps, 2, false>;
  using ThreeTiles = HeldTiles<Codec, kHeldShortSteps, 3, false>;
  constexpr unsigned kCluster = 4;
  if (a.rows == 1 && ThreeTiles::can_be_staged(a)) {
    return launch<ThreeTiles, 1, kCluster>(a, norm, stream);
  }
  if (a.rows <= 2) return launch<TwoTiles, 1>(a, norm, stream);
  return launch<OneTile, kHeldRowsMax / 2>(a, norm, stream);
}

}  // namespace

bool supports_normed_held(const Product& a) {
  return a.rows >= 1 && a.inputs <= kInputsMax && !a.out_f32 && supports_held(a);
}

cudaError_t launch_normed_held(const Product& a, const HeldNorm& norm, cudaStream_t stream) {
  return is_fast_fp4(a) ? launch_coded<HeldFp4>(a, norm, stream)
                        : launch_coded<HeldInt4>(a, norm, stream);
}

}  // namespace glm::kernels::cuda
