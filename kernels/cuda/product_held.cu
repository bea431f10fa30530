// For up to eight rows and few outputs of long sums in four bits or e4m3: the time is that from the
// end of the kernel in front to the last sum, so all weights are read and most are decoded before
// that.
//
// "held" has sixteen outputs a block, for about as many blocks as there are multiprocessors.
// "held_wide" has forty: a block for each of the multiprocessors that the kernel in front leaves
// free where that has few large blocks, as mla_decode has for one token. Blocks that had to wait
// for room would start with nothing read.
#include "kernels/cuda/bulk_plan.h"
#include "kernels/cuda/early_launch.h"
#include "kernels/cuda/product_held.cuh"
#include "kernels/device/bulk_copy.cuh"

namespace glm::kernels::cuda {
namespace {

template <class Tiles>
__global__ void __launch_bounds__(kHeldThreads, 1) held_kernel(const __grid_constant__ Product a) {
  extern __shared__ __align__(16) unsigned char memory[];
  Tiles tiles(a, blockIdx.x, memory);
  const HeldMemory<Tiles> shared(a, memory);
  tiles.decode(a);
  // Always so; but across a branch the assembler does not move decoding to where it is used.
  if (a.rows > 0) {
    device::wait_for_earlier_kernels();
    device::let_later_kernels_start();
  }
  tiles.stage(a, shared.x);
  tiles.multiply(a, shared.x);
  tiles.hand_out(a, shared.partial,
                 [&](unsigned row, unsigned output, float sum) { put(a, row, 0, output, sum); });
}

template <class Tiles>
cudaError_t launch(const Product& a, cudaStream_t stream) {
  const auto kernel = &held_kernel<Tiles>;
  const std::size_t bytes = HeldMemory<Tiles>::bytes(a);
  if (const cudaError_t code = cudaFuncSetAttribute(
          kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes));
      code != cudaSuccess) {
    return code;
  }
  return launch_early({.grid = product_grid(a, Tiles::kOutputs, kHeldRowsMax),
                       .threads = kHeldThreads,
                       .shared_bytes = bytes},
                      kernel, stream, a);
}

template <class Codec>
using Short = HeldTiles<Codec, kHeldShortSteps, 1, false>;
template <class Codec>
using Long = HeldTiles<Codec, kHeldLongSteps, 1, false>;
using Wide = HeldTiles<HeldInt4, kHeldLongSteps, 1, true>;

bool suits_int4(const Product& a) {
  return is_fast_int4(a) && a.weight.first.zeros == nullptr &&
         (a.joined_at == 0 || a.up.first.zeros == nullptr);
}

// A step has one scale.
bool suits_fp8(const Product& a) {
  const auto suits = [](const device::Weight& w) {
    return w.groups == 1 || w.group % kHeldStep == 0;
  };
  return is_fast_fp8(a) && suits(a.weight.first) && (a.joined_at == 0 || suits(a.up.first));
}

template <class Tiles>
bool supports(const Product& a) {
  return a.row_group == nullptr && !a.gated && a.groups == 1 && a.x_divisor == 1 &&
         a.rows <= Tiles::kRowsMax && a.inputs <= held_inputs_max(kHeldLongSteps) &&
         fits_tensor_cores(a) && (!Tiles::kStaged || Tiles::can_be_staged(a)) &&
         HeldMemory<Tiles>::bytes(a) <= bulk_limits().shared_bytes;
}

template <class Codec>
cudaError_t launch_coded(const Product& a, cudaStream_t stream) {
  if (a.inputs <= held_inputs_max(kHeldShortSteps)) return launch<Short<Codec>>(a, stream);
  return launch<Long<Codec>>(a, stream);
}

}  // namespace

bool supports_held(const Product& a) {
  if (is_fast_fp4(a)) return supports<Long<HeldFp4>>(a);
  if (suits_fp8(a)) return supports<Long<HeldFp8>>(a);
  return suits_int4(a) && supports<Long<HeldInt4>>(a);
}
bool supports_held_wide(const Product& a) {
  return suits_int4(a) && a.joined_at == 0 && supports<Wide>(a);
}

cudaError_t launch_held(const Product& a, cudaStream_t stream) {
  if (is_fast_fp8(a)) return launch_coded<HeldFp8>(a, stream);
  return is_fast_fp4(a) ? launch_coded<HeldFp4>(a, stream) : launch_coded<HeldInt4>(a, stream);
}
cudaError_t launch_held_wide(const Product& a, cudaStream_t stream) {
  return launch<Wide>(a, stream);
}

}  // namespace glm::kernels::cuda
