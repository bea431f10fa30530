// Each token adds its pairs in the order of experts: no atomics, so a token's bits do not depend on
// the others.
#include "kernels/cuda/moe_sum.h"

#include "kernels/cuda/aligned.h"
#include "kernels/cuda/early_launch.h"
#include "kernels/device/bulk_copy.cuh"
#include "kernels/device/mma.cuh"
#include "kernels/device/numbers.cuh"
#include "kernels/device/octet.cuh"
#include "kernels/device/reduce.cuh"

namespace glm::kernels::cuda {
namespace {

constexpr unsigned kSumThreads = 256;
constexpr std::int64_t kNormOctetsMax = 1024;  // a thread each

// The places of a token's experts by their indices.
__device__ void find_order(const MoeSum& a, std::int64_t token, std::int32_t* order) {
  const std::int32_t* ids = a.ids + token * a.chosen;
  for (int j = static_cast<int>(threadIdx.x); j < a.chosen; j += static_cast<int>(blockDim.x)) {
    int smaller = 0;
    const std::int32_t own = __ldcg(ids + j);
    for (int other = 0; other < a.chosen; ++other) smaller += __ldcg(ids + other) < own ? 1 : 0;
    order[smaller] = j;
  }
  __syncthreads();  // the order is there
}

// A block has one token (blockIdx.x) and as many columns as threads.
__global__ void __launch_bounds__(kSumThreads) sum_kernel(MoeSum a) {
  extern __shared__ std::int32_t order[];
  const std::int64_t token = blockIdx.x;
  find_order(a, token, order);  // the choice was complete before the kernel in front began
  device::wait_for_earlier_kernels();
  device::let_later_kernels_start();
  const std::int64_t c = static_cast<std::int64_t>(blockIdx.y) * kSumThreads + threadIdx.x;
  if (c >= a.hidden) return;
  const float* pairs = static_cast<const float*>(a.pairs) + token * a.chosen * a.hidden + c;
  float sum = 0;
#pragma unroll 4
  for (int step = 0; step < a.chosen; ++step) sum += __ldcg(pairs + order[step] * a.hidden);
  if (a.shared != nullptr) sum += device::load(a.shared + token * a.shared_stride + c);
  device::store(a.out + token * a.out_stride + c, sum);
}

__device__ void add_octet(float (&sum)[8], const uint4& octet, float weight) {
  const std::uint32_t words[4] = {octet.x, octet.y, octet.z, octet.w};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    sum[2 * i] += __uint_as_float(words[i] << 16U) * weight;
    sum[2 * i + 1] += __uint_as_float(words[i] & 0xFFFF0000U) * weight;
  }
}

// Of eight columns from `c` of a token, what its experts give.
__device__ void add_experts(const MoeSum& a, std::int64_t token, const std::int32_t* order,
                            std::int64_t c, float (&sum)[8]) {
  const auto* pairs = static_cast<const __nv_bfloat16*>(a.pairs) + token * a.chosen * a.hidden;
  const float* weights = a.weights + token * a.chosen;
#pragma unroll 4
  for (int step = 0; step < a.chosen; ++step) {
    const int at = order[step];
    add_octet(sum, *reinterpret_cast<const uint4*>(pairs + at * a.hidden + c), weights[at]);
  }
}

__device__ uint4 octet_of(const float (&sum)[8]) {
  return {device::bf16_pair(sum[0], sum[1]), device::bf16_pair(sum[2], sum[3]),
          device::bf16_pair(sum[4], sum[5]), device::bf16_pair(sum[6], sum[7])};
}

// A block has one token, a thread eight columns at a time.
__global__ void __launch_bounds__(kSumThreads) sum_octets_kernel(MoeSum a) {
  extern __shared__ std::int32_t order[];
  const std::int64_t token = blockIdx.x;
  find_order(a, token, order);  // the choice was complete before the kernel in front began
  device::wait_for_earlier_kernels();
  device::let_later_kernels_start();
  for (std::int64_t c = 8 * threadIdx.x; c < a.hidden; c += 8 * kSumThreads) {
    float sum[8] = {};
    add_experts(a, token, order, c, sum);
    const auto* shared = a.shared != nullptr ? a.shared + token * a.shared_stride + c : nullptr;
    __nv_bfloat16* out = a.out + token * a.out_stride + c;
    if (!a.in_octets) {
#pragma unroll
      for (int i = 0; i < 8; ++i) {
        device::store(out + i, shared != nullptr ? sum[i] + device::load(shared + i) : sum[i]);
      }
      continue;
    }
    if (shared != nullptr) add_octet(sum, *reinterpret_cast<const uint4*>(shared), 1);
    *reinterpret_cast<uint4*>(out) = octet_of(sum);
  }
}

// What comes after the sum where a block has all columns of a token.
struct Norm {
  const __nv_bfloat16* residual;
  const __nv_bfloat16* weight;
  __nv_bfloat16* sum;
  __nv_bfloat16* out;
  std::int64_t residual_stride;
  std::int64_t sum_stride;
  std::int64_t out_stride;
  float eps;
};

// As sum_octets_kernel and then rms_norm.cu, bit for bit.
__global__ void __launch_bounds__(kNormOctetsMax) sum_octets_and_norm_kernel(MoeSum a, Norm norm) {
  extern __shared__ std::int32_t order[];
  const std::int64_t token = blockIdx.x;
  const std::int64_t c = 8 * threadIdx.x;
  const bool there = c < a.hidden;
  const uint4 weight = there ? device::read_octet(norm.weight + c) : uint4{};
  find_order(a, token, order);  // the choice was complete before the kernel in front began
  device::wait_for_earlier_kernels();
  device::let_later_kernels_start();
  uint4 x = {};
  if (there) {
    const uint4 residual = device::read_octet(norm.residual + token * norm.residual_stride + c);
    uint4 shared = {};
    if (a.shared != nullptr) shared = device::read_octet(a.shared + token * a.shared_stride + c);
    float sum[8] = {};
    add_experts(a, token, order, c, sum);
    if (a.shared != nullptr) add_octet(sum, shared, 1);
    x = octet_of(sum);
    device::write_octet(a.out + token * a.out_stride + c, x);
    x = device::octet_sum(x, residual);
    device::write_octet(norm.sum + token * norm.sum_stride + c, x);
  }
  const float mean = device::block_sum(device::octet_squares(x)) / static_cast<float>(a.hidden);
  const float scale = 1.0F / sqrtf(mean + norm.eps);
  if (there) {
    device::write_octet(norm.out + token * norm.out_stride + c,
                        device::octet_normed(x, weight, scale));
  }
}

// What comes after the sum.
struct Behind {
  const __nv_bfloat16* residual;
  const __nv_bfloat16* weight;
  __nv_bfloat16* sum;
  __nv_bfloat16* weighted;
  float* squares;
  std::int64_t residual_stride;
  std::int64_t sum_stride;
  std::int64_t weighted_stride;
};

constexpr int kFour = 4;
constexpr unsigned kNormThreads = kMoeSumColumns / kFour;

__device__ uint2 four_of(const __nv_bfloat16* from) {
  return __ldcg(reinterpret_cast<const uint2*>(from));
}
__device__ void put_four(__nv_bfloat16* to, const float (&v)[kFour]) {
  *reinterpret_cast<uint2*>(to) = {device::bf16_pair(v[0], v[1]), device::bf16_pair(v[2], v[3])};
}
__device__ void spread(const uint2& four, float (&v)[kFour]) {
  v[0] = device::bf16_low(four.x);
  v[1] = device::bf16_high(four.x);
  v[2] = device::bf16_low(four.y);
  v[3] = device::bf16_high(four.y);
}

// A block has one token (blockIdx.x) and four columns a thread.
__global__ void __launch_bounds__(kNormThreads) sum_and_norm_kernel(MoeSum a, Behind b) {
  extern __shared__ std::int32_t order[];
  const std::int64_t token = blockIdx.x;
  const std::int64_t c = static_cast<std::int64_t>(blockIdx.y) * kMoeSumColumns +
                         static_cast<std::int64_t>(threadIdx.x) * kFour;
  const uint2 weights = __ldg(reinterpret_cast<const uint2*>(b.weight + c));
  find_order(a, token, order);  // the choice was complete before the kernel in front began
  device::let_later_kernels_start();
  device::wait_for_earlier_kernels();
  const uint2 residual = four_of(b.residual + token * b.residual_stride + c);
  uint2 shared = {};
  if (a.shared != nullptr) shared = four_of(a.shared + token * a.shared_stride + c);
  const float* pairs = static_cast<const float*>(a.pairs) + token * a.chosen * a.hidden + c;
  float sum[kFour] = {};
#pragma unroll 4
  for (int step = 0; step < a.chosen; ++step) {
    const float4 own = __ldcg(reinterpret_cast<const float4*>(pairs + order[step] * a.hidden));
    sum[0] += own.x;
    sum[1] += own.y;
    sum[2] += own.z;
    sum[3] += own.w;
  }
  float more[kFour];
  spread(shared, more);
#pragma unroll
  for (int i = 0; i < kFour; ++i) sum[i] += more[i];
  put_four(a.out + token * a.out_stride + c, sum);
  spread(residual, more);
#pragma unroll
  for (int i = 0; i < kFour; ++i) {
    sum[i] = device::rounded<__nv_bfloat16>(device::rounded<__nv_bfloat16>(sum[i]) + more[i]);
  }
  put_four(b.sum + token * b.sum_stride + c, sum);
  float weight[kFour];
  spread(weights, weight);
  float squares = 0;
#pragma unroll
  for (int i = 0; i < kFour; ++i) {
    squares += sum[i] * sum[i];
    sum[i] *= weight[i];
  }
  put_four(b.weighted + token * b.weighted_stride + c, sum);
  squares = device::block_sum(squares);
  if (threadIdx.x == 0) b.squares[token * gridDim.y + blockIdx.y] = squares;
}

bool rows_in_octets(const ConstTensorView& rows) {
  return aligned(rows.data) && rows.stride(0) % 8 == 0;
}

// Whether a norm is of this sum and what it is added to, and all its rows come in octets.
bool is_behind(const RmsNorm& norm, const MoeSum& a) {
  return a.in_octets && norm.x.data == a.out && norm.x.size(1) == a.hidden && norm.residual &&
         norm.x.size(0) == a.tokens && norm.x.stride(0) == a.out_stride &&
         rows_in_octets(norm.residual) && rows_in_octets(norm.sum) && rows_in_octets(norm.out) &&
         aligned(norm.weight.data);
}

// The order is read four places at a time.
std::size_t order_bytes(const MoeSum& a) {
  return static_cast<std::size_t>(a.chosen + 3) / 4 * sizeof(int4);
}

}  // namespace

MoeSum moe_sum(const MoeMlp& a, const MoeWorkspace& space, bool weighted) {
  return {.out = static_cast<__nv_bfloat16*>(a.out.data),
          .pairs = space.outer,
          .weights = weighted ? nullptr : a.weights.as<float>(),
          .ids = a.ids.as<std::int32_t>(),
          .shared = static_cast<const __nv_bfloat16*>(a.shared.data),
          .out_stride = a.out.stride(0),
          .shared_stride = a.shared ? a.shared.stride(0) : 0,
          .hidden = a.x.size(1),
          .tokens = a.x.size(0),
          .chosen = static_cast<std::int32_t>(a.ids.size(1)),
          .in_octets = rows_in_octets(a.out) && (!a.shared || rows_in_octets(a.shared))};
}

cudaError_t launch_moe_sum(const MoeSum& a, cudaStream_t stream) {
  const auto tokens = static_cast<unsigned>(a.tokens);
  const auto blocks = static_cast<unsigned>((a.hidden + kSumThreads - 1) / kSumThreads);
  const bool weighted = a.weights == nullptr;
  return launch_early({.grid = {tokens, weighted ? blocks : 1},
                       .threads = kSumThreads,
                       .shared_bytes = order_bytes(a)},
                      weighted ? &sum_kernel : &sum_octets_kernel, stream, a);
}

bool supports_moe_sum_and_whole_norm(const MoeSum& a, const RmsNorm& norm) {
  return a.weights != nullptr && is_behind(norm, a) && a.hidden % 8 == 0 &&
         a.hidden <= 8 * kNormOctetsMax;
}

cudaError_t launch_moe_sum_and_whole_norm(const MoeSum& a, const RmsNorm& norm,
                                          cudaStream_t stream) {
  const Norm behind{.residual = static_cast<const __nv_bfloat16*>(norm.residual.data),
                    .weight = static_cast<const __nv_bfloat16*>(norm.weight.data),
                    .sum = static_cast<__nv_bfloat16*>(norm.sum.data),
                    .out = static_cast<__nv_bfloat16*>(norm.out.data),
                    .residual_stride = norm.residual.stride(0),
                    .sum_stride = norm.sum.stride(0),
                    .out_stride = norm.out.stride(0),
                    .eps = norm.eps};
  return launch_early({.grid = static_cast<unsigned>(a.tokens),
                       .threads = device::octet_threads(static_cast<int>(a.hidden)),
                       .shared_bytes = order_bytes(a)},
                      &sum_octets_and_norm_kernel, stream, a, behind);
}

bool supports_moe_sum_and_norm(const MoeSum& a, const RmsNorm& norm) {
  return a.weights == nullptr && is_behind(norm, a) && a.tokens <= kMoeSquaredTokens &&
         a.hidden == 4 * kMoeSumColumns;
}

cudaError_t launch_moe_sum_and_norm(const MoeSum& a, const RmsNorm& norm, float* squares,
                                    cudaStream_t stream) {
  const Behind behind{.residual = static_cast<const __nv_bfloat16*>(norm.residual.data),
                      .weight = static_cast<const __nv_bfloat16*>(norm.weight.data),
                      .sum = static_cast<__nv_bfloat16*>(norm.sum.data),
                      .weighted = static_cast<__nv_bfloat16*>(norm.out.data),
                      .squares = squares,
                      .residual_stride = norm.residual.stride(0),
                      .sum_stride = norm.sum.stride(0),
                      .weighted_stride = norm.out.stride(0)};
  return launch_early(
      {.grid = {static_cast<unsigned>(a.tokens), static_cast<unsigned>(a.hidden / kMoeSumColumns)},
       .threads = kNormThreads,
       .shared_bytes = order_bytes(a)},
      &sum_and_norm_kernel, stream, a, behind);
}

}  // namespace glm::kernels::cuda
