// A block has some heads of one token, half a warp each head, an octet of its columns each lane.
// Cosines and sines are made before the kernel in front has ended.
#include "kernels/cuda/gqa_rows.h"

#include "kernels/cuda/attention_args.h"
#include "kernels/cuda/early_launch.h"
#include "kernels/device/bulk_copy.cuh"
#include "kernels/device/octet.cuh"

namespace glm::kernels::cuda {
namespace {

constexpr int kDim = 128;
constexpr int kLanes = kDim / device::kOctet;  // of a head
constexpr int kThreads = 256;
constexpr int kHeads = kThreads / kLanes;  // of a block
constexpr unsigned kFullWarp = 0xFFFFFFFFU;
static_assert(device::kWarpThreads % kLanes == 0);

struct Args {
  __nv_bfloat16* qkv;
  const __nv_bfloat16* q_norm;  // may be null
  const __nv_bfloat16* k_norm;  // likewise
  device::PagedRows<__nv_bfloat16> rows;
  const std::int32_t* sequence;
  device::Turns turns;
  std::int64_t stride;
  int heads;
  int kv_heads;
  float eps;
};

// In the order in which block_sum() of a row alone adds up its squares.
__device__ float head_sum(float value) {
#pragma unroll
  for (int distance = kLanes / 2; distance > 0; distance /= 2) {
    value += __shfl_xor_sync(kFullWarp, value, distance);
  }
  return value;
}

// Pairs within the octet, whose first columns are `column` and the next.
__device__ uint4 turned_within(const uint4& x, int column, int half, const float2* turns) {
  return device::octet_of([&](int i) {
    const int pair = (column + i) / 2;
    const float own = device::octet_at(x, i);
    if (pair >= half) return own;
    const float other = device::octet_at(x, i ^ 1);
    const float2 turn = turns[pair];
    return i % 2 == 0 ? __fmaf_rn(own, turn.x, -__fmul_rn(other, turn.y))
                      : __fmaf_rn(own, turn.x, __fmul_rn(other, turn.y));
  });
}

// Pairs with an octet `half` columns away, which another lane of the warp has.
__device__ uint4 turned_across(const uint4& x, int column, int half, const float2* turns) {
  const bool first = column < half;
  const int away = half / device::kOctet;
  const int lane = static_cast<int>(threadIdx.x) % device::kWarpThreads;
  const int from = (first ? lane + away : lane - away) & (device::kWarpThreads - 1);
  const uint4 other = {__shfl_sync(kFullWarp, x.x, from), __shfl_sync(kFullWarp, x.y, from),
                       __shfl_sync(kFullWarp, x.z, from), __shfl_sync(kFullWarp, x.w, from)};
  if (column >= 2 * half) return x;
  return device::octet_of([&](int i) {
    const float2 turn = turns[column + i - (first ? 0 : half)];
    const float product = __fmul_rn(device::octet_at(other, i), turn.y);
    return __fmaf_rn(device::octet_at(x, i), turn.x, first ? -product : product);
  });
}

__global__ void __launch_bounds__(kThreads) gqa_rows_kernel(Args a) {
  __shared__ float2 turns[kDim / 2];
  const std::int64_t token = blockIdx.x;
  const int thread = static_cast<int>(threadIdx.x);
  const int column = thread % kLanes * device::kOctet;
  const int head = static_cast<int>(blockIdx.y) * kHeads + thread / kLanes;
  const bool query = head < a.heads;
  const bool value = head >= a.heads + a.kv_heads;
  const bool there = head < a.heads + 2 * a.kv_heads;
  if (thread < a.turns.half) turns[thread] = a.turns.turn(token, thread);
  const __nv_bfloat16* norm = value ? nullptr : query ? a.q_norm : a.k_norm;
  const uint4 weight = norm == nullptr ? uint4{} : device::read_octet(norm + column);
  __nv_bfloat16* out = a.qkv + token * a.stride + head * kDim + column;
  const __nv_bfloat16* from = out;
  if (!query && there) {
    out =
        a.rows.row(a.sequence[token], a.turns.positions[token]) + (head - a.heads) * kDim + column;
  }
  __syncthreads();  // every thread uses turns
  device::wait_for_earlier_kernels();
  device::let_later_kernels_start();

  uint4 x = there ? device::read_octet(from) : uint4{};
  if (a.q_norm != nullptr) {
    const float mean = head_sum(device::octet_squares(x)) / static_cast<float>(kDim);
    if (!value) x = device::octet_normed(x, weight, 1.0F / sqrtf(mean + a.eps));
  }
  const uint4 turned = a.turns.interleaved ? turned_within(x, column, a.turns.half, turns)
                                           : turned_across(x, column, a.turns.half, turns);
  if (there) device::write_octet(out, value ? x : turned);
}

}  // namespace

bool supports_gqa_rows(const GqaRows& a) {
  const auto in_octets = [](const ConstTensorView& view) {
    return !view || device::octets_aligned(view.data);
  };
  const std::int64_t turned = 2 * a.inv_freq.size(0);
  return a.dim() == kDim && vector_rows(a.qkv) && vector_rows(a.rows.pages) &&
         in_octets(a.q_norm) && in_octets(a.k_norm) && turned % (2 * device::kOctet) == 0;
}

cudaError_t launch_gqa_rows(const GqaRows& a, cudaStream_t stream) {
  if (a.qkv.size(0) == 0) return cudaSuccess;
  const Args args{.qkv = bf16(a.qkv),
                  .q_norm = bf16(a.q_norm),
                  .k_norm = bf16(a.k_norm),
                  .rows = device_rows(a.rows),
                  .sequence = a.tokens.sequence.as<std::int32_t>(),
                  .turns = device_turns(a.rope_of(a.queries())),
                  .stride = a.qkv.stride(0),
                  .heads = static_cast<int>(a.heads),
                  .kv_heads = static_cast<int>(a.kv_heads),
                  .eps = a.eps};
  const std::int64_t heads = a.heads + 2 * a.kv_heads;
  return launch_early({.grid = {static_cast<unsigned>(a.qkv.size(0)),
                                static_cast<unsigned>((heads + kHeads - 1) / kHeads)},
                       .threads = kThreads},
                      &gqa_rows_kernel, stream, args);
}

}  // namespace glm::kernels::cuda
