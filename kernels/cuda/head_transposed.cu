// Two ways. `tensor`: a block has 64 columns of one head and 16 tokens; its warps share out the
// rows and add their sums in a fixed order. Columns are the rows of the tensor-core tile, tokens
// its columns. A lane reads eight columns of four rows; those of two rows, taken in turn, are the
// pairs that tensor cores want, and which column of the 64 is which row of a tile is free. What is
// turned of queries has blocks of its own beside them. `naive`: a thread has one column of one
// token.
//
// The result of a token depends on the variant, never on the other tokens.
#include <algorithm>

#include "kernels/cuda/aligned.h"
#include "kernels/cuda/attention_args.h"
#include "kernels/cuda/device_weight.h"
#include "kernels/cuda/early_launch.h"
#include "kernels/cuda/head_transposed.h"
#include "kernels/device/bulk_copy.cuh"
#include "kernels/device/int4.cuh"
#include "kernels/device/mma.cuh"
#include "kernels/device/numbers.cuh"
#include "kernels/device/reduce.cuh"
#include "kernels/device/weight.cuh"

namespace glm::kernels::cuda {
namespace {

// What is turned of a query, beside what is multiplied.
struct Turned {
  device::Turns turns;  // half 0: nothing
  __nv_bfloat16* out;
  const __nv_bfloat16* x;
};

struct Args {
  __nv_bfloat16* out;
  const __nv_bfloat16* x;
  device::Weight weight;  // from the first row of head 0 on
  std::int64_t out_token;
  std::int64_t out_head;
  std::int64_t x_token;
  std::int64_t x_head;
  std::int64_t head_rows;
  std::int64_t tokens;
  int rows;  // that are summed over
  unsigned heads;
  Turned turned;
};

constexpr int kWarps = 8;
constexpr int kColumns = 64;
constexpr int kMatrices = 4;  // tensor-core tiles of 16 columns
constexpr int kTokens = 16;   // in two tiles
constexpr int kDepth = 16;    // rows a warp takes at a time
constexpr int kNaiveThreads = 128;

// Eight columns of a row, read early and decoded when they are needed.
struct Bf16Octet {
  uint4 values = {};
  __device__ void read(const device::Weight& w, std::int64_t row, std::uint32_t c) {
    values = __ldg(reinterpret_cast<const uint4*>(w.data + row * w.row_bytes + 2 * c));
  }
  __device__ uint4 decoded(const device::Weight& /*w*/) const { return values; }
};
struct Int4Octet {
  std::uint32_t word = 0;
  device::Int4Group group = {};
  __device__ void read(const device::Weight& w, std::int64_t row, std::uint32_t c) {
    word = __ldg(reinterpret_cast<const std::uint32_t*>(w.data + row * w.row_bytes + c / 2));
    group = device::int4_group(w, row, c);
  }
  __device__ uint4 decoded(const device::Weight& /*w*/) const {
    return device::int4_word(word, group);
  }
};
struct AnyOctet {
  device::StoredOctet stored;
  bool there = false;
  __device__ void read(const device::Weight& w, std::int64_t row, std::uint32_t c) {
    stored = device::stored_octet(w, row, c);
    there = true;
  }
  // Nothing may stand for a number where nothing was read: what it is multiplied with is zero.
  __device__ uint4 decoded(const device::Weight& w) const {
    return there ? device::decoded(w, stored) : uint4{};
  }
};

__device__ std::uint32_t word_of(const uint4& four, int i) {
  return i == 0 ? four.x : i == 1 ? four.y : i == 2 ? four.z : four.w;
}

// The pairs of a block's tokens, one head. Their sines are found before the queries are there.
__device__ void turn_tokens(const Args& a, std::int64_t first_token, std::int64_t head) {
  constexpr int kHeld = 2;
  const device::Turns& turns = a.turned.turns;
  const auto tokens = static_cast<int>(min(a.tokens - first_token, std::int64_t{kTokens}));
  const int thread = static_cast<int>(threadIdx.x);
  const int threads = static_cast<int>(blockDim.x);
  const auto turn = [&](int at) {
    return turns.turn(first_token + at / turns.half, at % turns.half);
  };
  const auto apply = [&](int at, const float2& with) {
    const std::int64_t token = first_token + at / turns.half;
    turns.apply(a.turned.out + token * a.out_token + head * a.out_head,
                a.turned.x + token * a.x_token + head * a.x_head, at % turns.half, with);
  };
  const int pairs = tokens * turns.half;
  float2 held[kHeld] = {};
#pragma unroll
  for (int i = 0; i < kHeld; ++i) {
    if (thread + i * threads < pairs) held[i] = turn(thread + i * threads);
  }
  device::wait_for_earlier_kernels();
  device::let_later_kernels_start();
#pragma unroll
  for (int i = 0; i < kHeld; ++i) {
    if (thread + i * threads < pairs) apply(thread + i * threads, held[i]);
  }
  for (int at = thread + kHeld * threads; at < pairs; at += threads) apply(at, turn(at));
}

template <class Octet>
__global__ void __launch_bounds__(kWarps* device::kWarpThreads) tensor_kernel(Args a) {
  __shared__ float partial[kWarps][kTokens][kColumns + 1];
  const int warp = static_cast<int>(threadIdx.x) / device::kWarpThreads;
  const int lane = static_cast<int>(threadIdx.x) % device::kWarpThreads;
  const int pair = 2 * (lane % 4);  // of rows and, in results, of tokens
  const std::int64_t head = blockIdx.z;
  const std::int64_t first_token = static_cast<std::int64_t>(blockIdx.y) * kTokens;
  if (a.turned.turns.half > 0 && blockIdx.x == gridDim.x - 1) {
    return turn_tokens(a, first_token, head);
  }
  const std::uint32_t column = blockIdx.x * kColumns + static_cast<std::uint32_t>(lane / 4) * 8;
  const bool column_there = column < a.weight.cols;
  const __nv_bfloat16* x[2];
#pragma unroll
  for (int tile = 0; tile < 2; ++tile) {
    const std::int64_t token = first_token + 8 * tile + lane / 4;
    x[tile] = token < a.tokens ? a.x + token * a.x_token + head * a.x_head : nullptr;
  }
  Octet next[4];  // of rows pair, pair + 1, pair + 8, pair + 9
  const auto read = [&](int row) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int own = row + pair + i % 2 + i / 2 * 8;
      next[i] = {};
      if (own < a.rows && column_there) next[i].read(a.weight, head * a.head_rows + own, column);
    }
  };
  float sums[kMatrices][2][4] = {};
  read(warp * kDepth);
  device::wait_for_earlier_kernels();
  device::let_later_kernels_start();
  for (int row = warp * kDepth; row < a.rows; row += kWarps * kDepth) {
    Octet octets[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) octets[i] = next[i];
    read(row + kWarps * kDepth);
    std::uint32_t inputs[2][2];
#pragma unroll
    for (int tile = 0; tile < 2; ++tile) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int own = row + pair + 8 * half;
        // Rows come in pairs: their number is even.
        const bool there = x[tile] != nullptr && own < a.rows;
        inputs[tile][half] = there ? *reinterpret_cast<const std::uint32_t*>(x[tile] + own) : 0U;
      }
    }
    uint4 rows[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) rows[i] = octets[i].decoded(a.weight);
#pragma unroll
    for (int m = 0; m < kMatrices; ++m) {
      const std::uint32_t weights[4] = {
          __byte_perm(word_of(rows[0], m), word_of(rows[1], m), 0x5410),
          __byte_perm(word_of(rows[0], m), word_of(rows[1], m), 0x7632),
          __byte_perm(word_of(rows[2], m), word_of(rows[3], m), 0x5410),
          __byte_perm(word_of(rows[2], m), word_of(rows[3], m), 0x7632)};
#pragma unroll
      for (int tile = 0; tile < 2; ++tile) {
        device::mma_16x8x16(sums[m][tile], weights, inputs[tile][0], inputs[tile][1]);
      }
    }
  }
#pragma unroll
  for (int m = 0; m < kMatrices; ++m) {
#pragma unroll
    for (int tile = 0; tile < 2; ++tile) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        partial[warp][8 * tile + pair + i % 2][lane / 4 * 8 + 2 * m + i / 2] = sums[m][tile][i];
      }
    }
  }
  __syncthreads();  // the sums of all warps are there
  for (int at = static_cast<int>(threadIdx.x); at < kTokens * kColumns; at += blockDim.x) {
    const std::int64_t token = first_token + at / kColumns;
    const std::uint32_t c = blockIdx.x * kColumns + at % kColumns;
    if (token >= a.tokens || c >= a.weight.cols) continue;
    float sum = 0;
#pragma unroll
    for (int w = 0; w < kWarps; ++w) sum += partial[w][at / kColumns][at % kColumns];
    device::store(a.out + token * a.out_token + head * a.out_head + device::column_of(a.weight, c),
                  sum);
  }
}

__global__ void naive_kernel(Args a) {
  device::wait_for_earlier_kernels();
  device::let_later_kernels_start();
  const std::uint32_t c = blockIdx.x * blockDim.x + threadIdx.x;
  if (c >= a.weight.cols) return;
  const std::int64_t head = blockIdx.z;
  for (std::int64_t token = blockIdx.y; token < a.tokens; token += gridDim.y) {
    const __nv_bfloat16* x = a.x + token * a.x_token + head * a.x_head;
    float sum = 0;
    for (int row = 0; row < a.rows; ++row) {
      sum += device::load(x + row) * device::stored_weight(a.weight, head * a.head_rows + row, c);
    }
    device::store(a.out + token * a.out_token + head * a.out_head + device::column_of(a.weight, c),
                  sum);
  }
}

// Eight columns are read at a time, and two rows of an activation.
bool fits_tensor_cores(const Args& a) {
  const device::Weight& w = a.weight;
  return w.cols % 8 == 0 && w.group % 8 == 0 && aligned(w.data, 16) && a.rows % 2 == 0 &&
         aligned(a.x, 4) && a.x_token % 2 == 0 && a.x_head % 2 == 0;
}

bool is_fast_int4(const device::Weight& w) {
  return w.coding == device::Coding::int4 && w.scale_type == device::ScaleType::bf16 &&
         w.group_shift != 0;
}

unsigned blocks(std::int64_t count, std::int64_t of) {
  return static_cast<unsigned>((count + of - 1) / of);
}

Args arguments(const HeadLinear& a) {
  const WeightView weight = a.weight.row_slice(a.first_row, a.weight.layout.rows - a.first_row);
  return {.out = a.out.as<__nv_bfloat16>(),
          .x = a.x.as<__nv_bfloat16>(),
          .weight = device_weight(weight),
          .out_token = a.out.stride(0),
          .out_head = a.out.stride(1),
          .x_token = a.x.stride(0),
          .x_head = a.x.stride(1),
          .head_rows = a.head_rows,
          .tokens = a.x.size(0),
          .rows = static_cast<int>(a.rows()),
          .heads = static_cast<unsigned>(a.x.size(1)),
          .turned = {}};
}

cudaError_t launch_transposed(const Args& a, std::string_view variant, cudaStream_t stream) {
  if (variant == "naive" || !fits_tensor_cores(a)) {
    constexpr std::int64_t kGridYMax = 65535;
    const auto tokens = static_cast<unsigned>(std::min(a.tokens, kGridYMax));
    return launch_early(
        {.grid = {blocks(a.weight.cols, kNaiveThreads), tokens, a.heads}, .threads = kNaiveThreads},
        &naive_kernel, stream, a);
  }
  const unsigned turned = a.turned.turns.half > 0 ? 1 : 0;
  const EarlyLaunch how{
      .grid = {blocks(a.weight.cols, kColumns) + turned, blocks(a.tokens, kTokens), a.heads},
      .threads = kWarps * device::kWarpThreads};
  if (is_fast_int4(a.weight)) return launch_early(how, &tensor_kernel<Int4Octet>, stream, a);
  if (a.weight.coding == device::Coding::bf16) {
    return launch_early(how, &tensor_kernel<Bf16Octet>, stream, a);
  }
  return launch_early(how, &tensor_kernel<AnyOctet>, stream, a);
}

}  // namespace

cudaError_t launch_head_transposed(const HeadLinear& a, std::string_view variant,
                                   cudaStream_t stream) {
  return launch_transposed(arguments(a), variant, stream);
}

bool supports_mla_queries(const MlaQueries& a, std::string_view variant) {
  return a.q.dtype == Dtype::bf16 && variant != "naive" &&
         fits_tensor_cores(arguments(a.absorption()));
}

cudaError_t launch_mla_queries(const MlaQueries& a, cudaStream_t stream) {
  if (a.q.size(0) == 0 || a.q.size(1) == 0) return cudaSuccess;
  const Rope rope = a.rope();
  Args args = arguments(a.absorption());
  args.turned = {.turns = device_turns(rope),
                 .out = rope.out.as<__nv_bfloat16>(),
                 .x = rope.x.as<__nv_bfloat16>()};
  return launch_transposed(args, {}, stream);
}

}  // namespace glm::kernels::cuda
