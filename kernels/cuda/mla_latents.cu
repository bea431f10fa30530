// One block per token: some warps norm the query's latent, some the one that is kept, one turns the
// shared key; the row goes straight into its page. A thread has eight columns, or one pair.
// Contract: kernels/ops/mla_latents.h.
#include "kernels/cuda/attention_args.h"
#include "kernels/cuda/early_launch.h"
#include "kernels/device/bulk_copy.cuh"
#include "kernels/device/octet.cuh"
#include "kernels/device/turn.cuh"

namespace glm::kernels::cuda {
namespace {

struct Args {
  __nv_bfloat16* query;
  const __nv_bfloat16* row;
  const __nv_bfloat16* q_weight;
  const __nv_bfloat16* kv_weight;
  std::int64_t query_stride;
  std::int64_t row_stride;
  int q_rank;
  int kv_rank;
  unsigned q_threads;   // of whole warps
  unsigned kv_threads;  // likewise
  float eps;
  device::Turns turns;
  device::PagedRows<__nv_bfloat16> rows;
  const std::int32_t* sequence;
};

__global__ void mla_latents_kernel(Args a) {
  __shared__ float partial[32];
  const std::int64_t token = blockIdx.x;
  const unsigned thread = threadIdx.x;
  const bool of_query = thread < a.q_threads;
  const bool of_row = !of_query && thread < a.q_threads + a.kv_threads;
  const int c = static_cast<int>(of_query ? thread : thread - a.q_threads) * device::kOctet;
  const bool there = of_query ? c < a.q_rank : of_row && c < a.kv_rank;
  const int pair = static_cast<int>(thread - a.q_threads - a.kv_threads);
  const bool turns = !of_query && !of_row && pair < a.turns.half;

  __nv_bfloat16* page_row = a.rows.row(a.sequence[token], a.turns.positions[token]);
  uint4 weight = {};
  if (there) weight = device::read_octet((of_query ? a.q_weight : a.kv_weight) + c);
  float2 turn = {};
  if (turns) turn = a.turns.turn(token, pair);
  device::wait_for_earlier_kernels();
  device::let_later_kernels_start();

  const __nv_bfloat16* row = a.row + token * a.row_stride;
  __nv_bfloat16* query = a.query + token * a.query_stride;
  uint4 x = {};
  if (there) x = device::read_octet((of_query ? query : row) + c);
  const float squares = device::warp_sum(device::octet_squares(x));
  if (thread % device::kWarpThreads == 0) partial[thread / device::kWarpThreads] = squares;
  if (turns) a.turns.apply(page_row + a.kv_rank, row + a.kv_rank, pair, turn);
  __syncthreads();  // the sums of all warps are there
  // As block_sum() of a block with these warps alone: to the same bits.
  const unsigned first = of_query ? 0 : a.q_threads / device::kWarpThreads;
  const unsigned count = (of_query ? a.q_threads : a.kv_threads) / device::kWarpThreads;
  const unsigned lane = thread % device::kWarpThreads;
  const float sum = device::warp_sum(lane < count ? partial[first + lane] : 0.0F);
  if (!there) return;
  const float mean = sum / static_cast<float>(of_query ? a.q_rank : a.kv_rank);
  const float scale = 1.0F / sqrtf(mean + a.eps);
  device::write_octet((of_query ? query : page_row) + c, device::octet_normed(x, weight, scale));
}

bool in_octets(const ConstTensorView& a) {
  return vector_rows(a) && a.size(a.rank - 1) % device::kOctet == 0;
}

unsigned threads_of(std::int64_t columns) {
  return device::octet_threads(static_cast<int>(columns));
}

unsigned threads_of(const MlaLatents& a) {
  const auto half = static_cast<unsigned>(a.inv_freq.size(0));
  constexpr auto kWarp = static_cast<unsigned>(device::kWarpThreads);
  return threads_of(a.query.size(1)) + threads_of(a.kv_weight.size(0)) +
         (half + kWarp - 1) / kWarp * kWarp;
}

}  // namespace

bool supports_mla_latents(const MlaLatents& a) {
  constexpr unsigned kThreadsMax = 1024;
  const TensorView latent = a.row.slice(1, 0, a.kv_weight.size(0));
  return a.query.dtype == Dtype::bf16 && a.rows.plain() && in_octets(a.query) &&
         in_octets(latent) && in_octets(a.q_weight) && in_octets(a.kv_weight) &&
         vector_rows(a.rows.pages) && 2 * a.inv_freq.size(0) == a.row.size(1) - latent.size(1) &&
         threads_of(a) <= kThreadsMax;
}

cudaError_t launch_mla_latents(const MlaLatents& a, cudaStream_t stream) {
  if (a.query.size(0) == 0) return cudaSuccess;
  const Args args{.query = bf16(a.query),
                  .row = bf16(a.row),
                  .q_weight = bf16(a.q_weight),
                  .kv_weight = bf16(a.kv_weight),
                  .query_stride = a.query.stride(0),
                  .row_stride = a.row.stride(0),
                  .q_rank = static_cast<int>(a.query.size(1)),
                  .kv_rank = static_cast<int>(a.kv_weight.size(0)),
                  .q_threads = threads_of(a.query.size(1)),
                  .kv_threads = threads_of(a.kv_weight.size(0)),
                  .eps = a.eps,
                  .turns = device_turns(a.row_rope()),
                  .rows = device_rows(a.rows),
                  .sequence = a.tokens.sequence.as<std::int32_t>()};
  return launch_early({.grid = static_cast<unsigned>(a.query.size(0)), .threads = threads_of(a)},
                      &mla_latents_kernel, stream, args);
}

}  // namespace glm::kernels::cuda
