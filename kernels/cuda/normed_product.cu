// Every block norms the rows it multiplies, in shared memory: a row is a few kilobytes, and one
// launch less is worth more. The threads add squares in the tree of rms_norm.cu, so that the bits
// are the same. The first block leaves the sum with the residual where others read it later.
//
// What MLA keeps of a token has a block of its own beside those: some warps norm the latent, others
// turn the shared key.
#include <algorithm>

#include "kernels/cuda/attention_args.h"
#include "kernels/cuda/device_weight.h"
#include "kernels/cuda/early_launch.h"
#include "kernels/cuda/normed_held.h"
#include "kernels/cuda/normed_product.h"
#include "kernels/cuda/product_stream.cuh"
#include "kernels/device/bulk_copy.cuh"
#include "kernels/device/octet.cuh"

namespace glm::kernels::cuda {
namespace {

constexpr unsigned kThreads = kStreamWarpsMax * device::kWarpThreads;
constexpr unsigned kNormThreadsMax = 1024;
constexpr int kHeldMax = 3;  // octets of a row that a thread has

struct Latents {
  const __nv_bfloat16* row;
  const __nv_bfloat16* norm;
  std::int64_t row_stride;
  int rank;
  float eps;
  device::Turns turns;
  device::PagedRows<__nv_bfloat16> rows;
  const std::int32_t* sequence;
};

// Of one token; all threads of the block.
__device__ void store_latent(const Latents& a, std::int64_t token) {
  __shared__ float partial[device::kWarpThreads];
  const unsigned thread = threadIdx.x;
  const unsigned norm_threads = device::octet_threads(a.rank);
  const int c = static_cast<int>(thread) * device::kOctet;
  const bool norms = c < a.rank;
  const int pair = static_cast<int>(thread) - static_cast<int>(norm_threads);
  const bool turns = pair >= 0 && pair < a.turns.half;

  __nv_bfloat16* page_row = a.rows.row(a.sequence[token], a.turns.positions[token]);
  const uint4 weight = norms ? device::read_octet(a.norm + c) : uint4{};
  const float2 turn = turns ? a.turns.turn(token, pair) : float2{};
  device::wait_for_earlier_kernels();
  device::let_later_kernels_start();

  const __nv_bfloat16* row = a.row + token * a.row_stride;
  const uint4 x = norms ? device::read_octet(row + c) : uint4{};
  const float squares = device::warp_sum(device::octet_squares(x));
  const unsigned lane = thread % device::kWarpThreads;
  if (lane == 0) partial[thread / device::kWarpThreads] = squares;
  if (turns) a.turns.apply(page_row + a.rank, row + a.rank, pair, turn);
  __syncthreads();  // the sums of all warps are there
  const unsigned warps = norm_threads / device::kWarpThreads;
  const float mean =
      device::warp_sum(lane < warps ? partial[lane] : 0.0F) / static_cast<float>(a.rank);
  if (!norms) return;
  device::write_octet(page_row + c, device::octet_normed(x, weight, 1.0F / sqrtf(mean + a.eps)));
}

struct QueryNorm {
  __nv_bfloat16* row;  // normed in its place
  const __nv_bfloat16* weight;
  std::int64_t row_stride;
  int dim;
  float eps;
};

__device__ void norm_query(const QueryNorm& a, std::int64_t token) {
  const int c = static_cast<int>(threadIdx.x) * device::kOctet;
  const bool there = c < a.dim;
  const uint4 weight = there ? device::read_octet(a.weight + c) : uint4{};
  device::wait_for_earlier_kernels();
  device::let_later_kernels_start();
  __nv_bfloat16* at = a.row + token * a.row_stride + c;
  const uint4 x = there ? device::read_octet(at) : uint4{};
  const float mean = device::block_sum(device::octet_squares(x)) / static_cast<float>(a.dim);
  if (there) device::write_octet(at, device::octet_normed(x, weight, 1.0F / sqrtf(mean + a.eps)));
}

// A block has the latent of a token, or its query.
__global__ void norm_latents_kernel(Latents a, QueryNorm query, unsigned tokens) {
  // Of more tokens the blocks behind are large: started at once, they read weights.
  constexpr unsigned kFewTokens = 8;
  if (tokens > kFewTokens) device::let_later_kernels_start();
  if (blockIdx.x < tokens) {
    store_latent(a, blockIdx.x);
  } else {
    norm_query(query, blockIdx.x - tokens);
  }
}

// Normed rows of activations in shared memory, and how far apart they lie there.
__host__ __device__ constexpr unsigned staged_stride(unsigned inputs) {
  return inputs + device::kOctet;  // rows start in different banks
}

// Needs all threads; `weight` are this thread's octets of the norm's weight.
__device__ void stage(__nv_bfloat16* staged, const Product& a, const HeldNorm& norm, unsigned rows,
                      const uint4 (&weight)[kHeldMax], bool leaves_sum) {
  // Of the warps that would have one octet for each thread.
  __shared__ float partial[kNormedRowsMax][device::kWarpThreads];
  const auto inputs = static_cast<unsigned>(a.inputs);
  const unsigned lane = threadIdx.x % device::kWarpThreads;
  const unsigned stride = staged_stride(inputs);
  const auto* x = static_cast<const __nv_bfloat16*>(a.x);
#pragma unroll 2
  for (unsigned row = 0; row < rows; ++row) {
#pragma unroll
    for (int i = 0; i < kHeldMax; ++i) {
      const unsigned octet = threadIdx.x + static_cast<unsigned>(i) * blockDim.x;
      const unsigned c = octet * device::kOctet;
      if (c - lane * device::kOctet >= inputs) break;  // the same for the whole warp
      uint4 values = {};
      if (c < inputs) {
        values = device::read_octet(x + row * a.x_stride + c);
        if (norm.residual != nullptr) {
          const auto* residual = norm.residual + row * norm.residual_stride;
          values = device::octet_sum(values, device::read_octet(residual + c));
          if (leaves_sum) device::write_octet(norm.sum + row * norm.sum_stride + c, values);
        }
        device::write_octet(staged + row * stride + c, values);
      }
      const float squares = device::warp_sum(device::octet_squares(values));
      if (lane == 0) partial[row][octet / device::kWarpThreads] = squares;
    }
  }
  __syncthreads();  // all sums of squares
  const unsigned warps =
      (inputs / device::kOctet + device::kWarpThreads - 1) / device::kWarpThreads;
  for (unsigned row = 0; row < rows; ++row) {
    const float mean =
        device::warp_sum(lane < warps ? partial[row][lane] : 0.0F) / static_cast<float>(inputs);
    const float scale = 1.0F / sqrtf(mean + norm.eps);
#pragma unroll
    for (int i = 0; i < kHeldMax; ++i) {
      const unsigned c = (threadIdx.x + static_cast<unsigned>(i) * blockDim.x) * device::kOctet;
      if (c >= inputs) break;
      __nv_bfloat16* at = staged + row * stride + c;
      device::write_octet(at, device::octet_normed(device::read_octet(at), weight[i], scale));
    }
  }
  __syncthreads();  // all rows
}

template <class Fetch>
__global__ void __launch_bounds__(kThreads, 3)
    normed_kernel(Product a, HeldNorm norm, Latents latents, unsigned product_blocks) {
  extern __shared__ __align__(16) __nv_bfloat16 staged[];
  __shared__ StreamSums<1> partial;
  if (blockIdx.x >= product_blocks) return store_latent(latents, blockIdx.x - product_blocks);
  const RowTile rows{.group = 0, .first = 0, .count = static_cast<std::int32_t>(a.rows)};
  StreamBlock<Fetch, 1, false> block(a, rows, blockIdx.x);
  block.begin();
  uint4 weight[kHeldMax] = {};
#pragma unroll
  for (int i = 0; i < kHeldMax; ++i) {
    const unsigned c = (threadIdx.x + static_cast<unsigned>(i) * blockDim.x) * device::kOctet;
    if (c < a.inputs) weight[i] = device::read_octet(norm.weight + c);
  }
  device::wait_for_earlier_kernels();
  device::let_later_kernels_start();
  stage(staged, a, norm, static_cast<unsigned>(rows.count), weight, blockIdx.x == 0);
  const int n = static_cast<int>(threadIdx.x) % device::kWarpThreads / 4;
  const StreamRows<1> x = {
      n < rows.count ? staged + n * staged_stride(static_cast<unsigned>(a.inputs)) : nullptr};
  block.multiply(x);
  block.store(partial);
}

bool in_octets(const ConstTensorView& a) {
  return !a || (vector_rows(a) && a.size(a.rank - 1) % device::kOctet == 0);
}

Product product_of(const NormedLinear& a, const WeightView& weight) {
  return {.out = a.out.data,
          .x = a.norm.x.data,
          .weight = device_weights(weight),
          .out_stride = a.out.stride(0),
          .x_stride = a.norm.x.stride(0),
          .rows = a.norm.x.size(0),
          .outputs = weight.layout.rows,
          .inputs = a.norm.x.size(1)};
}
Product product_of(const NormedLinear& a) {
  const Product product = product_of(a, a.weight);
  return a.rest ? joined(product, product_of(a, a.rest)) : product;
}
// The variant that computes all of the linear layer in one launch; null if there is none.
ProductLaunch launch_of(const NormedLinear& a, std::string_view variant) {
  const Product product = product_of(a, a.weight);
  return a.rest ? may_be_joined(product, product_of(a, a.rest), variant)
                : choose_variant(product, variant).launch;
}

HeldNorm norm_of(const RmsNorm& a) {
  return {.weight = bf16(a.weight),
          .residual = bf16(a.residual),
          .sum = bf16(a.sum),
          .residual_stride = a.residual.stride(0),
          .sum_stride = a.sum.stride(0),
          .eps = a.eps};
}

bool in_octets(const RmsNorm& a) {
  return in_octets(a.x) && in_octets(a.weight) && in_octets(a.residual) && in_octets(a.sum);
}

std::size_t staged_bytes(const Product& a) {
  return static_cast<std::size_t>(a.rows) * staged_stride(static_cast<unsigned>(a.inputs)) *
         sizeof(__nv_bfloat16);
}

Latents latents_of(const MlaLatents& a) {
  return {.row = bf16(a.row),
          .norm = bf16(a.kv_norm),
          .row_stride = a.row.stride(0),
          .rank = static_cast<int>(a.kv_norm.size(0)),
          .eps = a.eps,
          .turns = device_turns(a.row_rope()),
          .rows = device_rows(a.rows),
          .sequence = a.tokens.sequence.as<std::int32_t>()};
}

unsigned latent_threads(const MlaLatents& a) {
  constexpr auto kWarp = static_cast<unsigned>(device::kWarpThreads);
  const auto half = static_cast<unsigned>(a.inv_freq.size(0));
  return device::octet_threads(static_cast<int>(a.kv_norm.size(0))) +
         (half + kWarp - 1) / kWarp * kWarp;
}

unsigned query_threads(const MlaLatents& a) {
  return device::octet_threads(static_cast<int>(a.q_norm.size(0)));
}

template <class Fetch>
cudaError_t launch(const Product& a, const HeldNorm& norm, const Latents& latents, unsigned tokens,
                   cudaStream_t stream) {
  const auto blocks =
      static_cast<unsigned>((a.outputs + kStreamWeightRows - 1) / kStreamWeightRows);
  const std::size_t bytes = staged_bytes(a);
  const cudaError_t code = cudaFuncSetAttribute(
      &normed_kernel<Fetch>, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes));
  if (code != cudaSuccess) return code;
  return launch_early({.grid = blocks + tokens, .threads = kThreads, .shared_bytes = bytes},
                      &normed_kernel<Fetch>, stream, a, norm, latents, blocks);
}

cudaError_t launch(const NormedLinear& a, const Latents& latents, unsigned tokens,
                   cudaStream_t stream) {
  const Product product = product_of(a);
  const HeldNorm norm = norm_of(a.norm);
  if (is_fast_int4(product)) {
    return launch<device::FetchInt4>(product, norm, latents, tokens, stream);
  }
  if (is_half_int4(product)) {
    return launch<device::FetchInt4Half>(product, norm, latents, tokens, stream);
  }
  if (is_fast_fp4(product)) {
    return launch<device::FetchFp4>(product, norm, latents, tokens, stream);
  }
  if (product.weight.first.coding == device::Coding::bf16) {
    return launch<device::FetchBf16>(product, norm, latents, tokens, stream);
  }
  if (is_fast_fp8(product)) {
    return launch<device::FetchFp8>(product, norm, latents, tokens, stream);
  }
  return launch<device::FetchAny>(product, norm, latents, tokens, stream);
}

// One launch of the variant "stream".
bool fits_stream(const NormedLinear& a, std::string_view variant) {
  constexpr std::size_t kStagedBytesMax = 96U << 10U;
  constexpr std::int64_t kOutputsMax = 16384;  // more blocks than that have the norm done for them
  const Product product = product_of(a);
  return a.out.dtype == Dtype::bf16 && product.rows >= 1 && product.rows <= kNormedRowsMax &&
         product.inputs <= std::int64_t{kHeldMax} * kThreads * device::kOctet &&
         product.outputs <= kOutputsMax && staged_bytes(product) <= kStagedBytesMax &&
         in_octets(a.norm) && launch_of(a, variant) == &launch_stream;
}

bool fits_held(const NormedLinear& a, std::string_view variant) {
  return a.out.dtype == Dtype::bf16 && in_octets(a.norm) && launch_of(a, variant) == &launch_held &&
         supports_normed_held(product_of(a));
}

}  // namespace

bool supports_normed_linear(const NormedLinear& a, std::string_view variant) {
  return fits_held(a, variant) || fits_stream(a, variant);
}

cudaError_t launch_normed_linear(const NormedLinear& a, std::string_view variant,
                                 cudaStream_t stream) {
  if (!fits_held(a, variant)) return launch(a, {}, 0, stream);
  return launch_normed_held(product_of(a), norm_of(a.norm), stream);
}

bool supports_mla_latents(const MlaLatents& a) {
  const TensorView latent = a.row.slice(1, 0, a.kv_norm.size(0));
  return a.row.dtype == Dtype::bf16 && a.rows.plain() && in_octets(latent) &&
         in_octets(a.kv_norm) && vector_rows(a.rows.pages) && in_octets(a.query) &&
         in_octets(a.q_norm) && query_threads(a) <= kNormThreadsMax &&
         2 * a.inv_freq.size(0) == a.row.size(1) - latent.size(1) && latent_threads(a) <= kThreads;
}

bool supports_mla_latents_whole(const MlaLatents& a, std::string_view variant) {
  return supports_mla_latents(a) && fits_stream(a.queries(), variant);
}

cudaError_t launch_mla_latents(const MlaLatents& a, cudaStream_t stream) {
  return launch(a.queries(), latents_of(a), static_cast<unsigned>(a.row.size(0)), stream);
}

cudaError_t launch_norm_latents(const MlaLatents& a, cudaStream_t stream) {
  const auto tokens = static_cast<unsigned>(a.row.size(0));
  if (tokens == 0) return cudaSuccess;
  const QueryNorm query{.row = bf16(a.query),
                        .weight = bf16(a.q_norm),
                        .row_stride = a.query.stride(0),
                        .dim = static_cast<int>(a.q_norm.size(0)),
                        .eps = a.eps};
  return launch_early(
      {.grid = 2 * tokens, .threads = std::max(latent_threads(a), query_threads(a))},
      &norm_latents_kernel, stream, latents_of(a), query, tokens);
}

}  // namespace glm::kernels::cuda
