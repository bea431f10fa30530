// Two ways. `tensor`: a block has 64 columns of one head and up to 64 tokens. Weights are decoded
// to shared memory before the kernel in front has ended, as they depend on nothing; the copy of
// tensor tiles to registers turns them, so that columns are the rows of the tile and tokens its
// columns. What is turned of queries has blocks of its own beside them. `naive`: a thread has one
// column of one token.
//
// The result of a token depends on the variant, never on the other tokens: even and odd depths are
// added up each by themselves, whichever warps have them.
#include <algorithm>
#include <bit>

#include "kernels/cuda/aligned.h"
#include "kernels/cuda/attention_args.h"
#include "kernels/cuda/device_weight.h"
#include "kernels/cuda/early_launch.h"
#include "kernels/cuda/head_transposed.h"
#include "kernels/device/bulk_copy.cuh"
#include "kernels/device/mma.cuh"
#include "kernels/device/numbers.cuh"
#include "kernels/device/reduce.cuh"
#include "kernels/device/weight.cuh"
#include "kernels/device/weight_octet.cuh"

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
  bool whole_pieces;  // of results can be written
};

constexpr int kWarps = 8;
constexpr int kThreads = kWarps * device::kWarpThreads;
constexpr int kColumns = 64;
constexpr int kWarpsDown = 4;  // sixteen columns each
constexpr int kDepth = 16;     // rows of weights in a tensor-core tile
constexpr int kTokensMax = 64;
constexpr int kTurnedTokens = 16;  // of a block that turns
constexpr int kOutPitch = kColumns + 8;
constexpr unsigned kSharedBytesMax = 96U << 10U;
constexpr int kNaiveThreads = 128;

// The pairs of a block's tokens, one head. Their sines are found before the queries are there.
__device__ void turn_tokens(const Args& a, std::int64_t first_token, std::int64_t head) {
  constexpr int kHeld = 2;
  const device::Turns& turns = a.turned.turns;
  const auto tokens = static_cast<int>(min(a.tokens - first_token, std::int64_t{kTurnedTokens}));
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

// Where things lie in shared memory: weights as bf16, the eight pieces of a row exchanged so that
// the same one of eight rows lies in different banks, and behind them tokens.
__device__ inline unsigned piece_at(int row, int piece) {
  return static_cast<unsigned>(row * (kColumns * 2) + (piece ^ row % 8) * 16);
}
__host__ __device__ inline unsigned padded_rows(int rows) {
  return static_cast<unsigned>(rows + kDepth - 1) / kDepth * kDepth;
}
// Bytes from token to token: the same piece of eight lies in different banks.
__host__ __device__ inline unsigned token_pitch(int rows) {
  return (padded_rows(rows) * 2 + 127) / 128 * 128 + 16;
}

template <class Octet>
__device__ void stage_weights(const Args& a, std::int64_t head, std::uint8_t* memory) {
  constexpr int kHeld = 6;
  constexpr int kRowsAtOnce = kThreads / 8;
  const auto rows = static_cast<int>(padded_rows(a.rows));
  const int piece = static_cast<int>(threadIdx.x) % 8;
  const std::uint32_t column = blockIdx.x * kColumns + static_cast<std::uint32_t>(piece) * 8;
  for (int first = static_cast<int>(threadIdx.x) / 8; first < rows; first += kHeld * kRowsAtOnce) {
    Octet octets[kHeld];
#pragma unroll
    for (int i = 0; i < kHeld; ++i) {
      const int row = first + i * kRowsAtOnce;
      octets[i] = {};
      if (row < a.rows && column < a.weight.cols) {
        octets[i].read(a.weight, head * a.head_rows + row, column);
      }
    }
#pragma unroll
    for (int i = 0; i < kHeld; ++i) {
      const int row = first + i * kRowsAtOnce;
      if (row >= rows) break;
      // Zeros beyond the last row, where tokens are zero as well.
      const uint4 value = row < a.rows ? octets[i].decoded(a.weight) : uint4{};
      *reinterpret_cast<uint4*>(memory + piece_at(row, piece)) = value;
    }
  }
}

// Tokens beyond the last are not written: nobody stores their sums.
__device__ void stage_tokens(const Args& a, const __nv_bfloat16* x, int count,
                             std::uint8_t* memory) {
  const auto octets = static_cast<int>(padded_rows(a.rows)) / 8;
  const unsigned pitch = token_pitch(a.rows);
  for (int token = static_cast<int>(threadIdx.x) / device::kWarpThreads; token < count;
       token += kWarps) {
    for (int octet = static_cast<int>(threadIdx.x) % device::kWarpThreads; octet < octets;
         octet += device::kWarpThreads) {
      const bool there = octet * 8 < a.rows;
      device::copy_async_16(
          device::shared_address(memory + static_cast<unsigned>(token) * pitch + octet * 16),
          there ? x + token * a.x_token + octet * 8 : x, there);
    }
  }
  device::copy_async_commit();
  device::copy_async_wait<0>();
}

// The sums of a warp: sixteen columns of some tiles of tokens. Of few tokens four warps have the
// even depths of all, the others the odd; of many each half of the warps has both for half of them.
template <int kTokens>
struct WarpSums {
  static constexpr bool kShareDepths = kTokens == 16;
  static constexpr int kTiles = kShareDepths ? 2 : kTokens / 16;
  float even[kTiles][4] = {};
  float odd[kTiles][4] = {};  // not where depths are shared

  int down = static_cast<int>(threadIdx.x) / device::kWarpThreads % kWarpsDown;
  int second = static_cast<int>(threadIdx.x) / device::kWarpThreads / kWarpsDown;
  int lane = static_cast<int>(threadIdx.x) % device::kWarpThreads;

  __device__ int first_tile() const { return kShareDepths ? 0 : second * kTiles; }

  __device__ void add(std::uint32_t weights, std::uint32_t own_tokens, unsigned pitch, int row,
                      float (&sums)[kTiles][4]) const {
    std::uint32_t left[4];
    device::load_matrices_transposed(
        left, weights + piece_at(row + lane / 16 * 8 + lane % 8, 2 * down + lane / 8 % 2));
#pragma unroll
    for (int pair = 0; pair < kTiles / 2; ++pair) {
      std::uint32_t right[4];
      device::load_matrices(right, own_tokens + pair * 16 * pitch + row * 2);
      device::mma_16x8x16(sums[2 * pair], left, right[0], right[1]);
      device::mma_16x8x16(sums[2 * pair + 1], left, right[2], right[3]);
    }
  }

  __device__ void add_all(const Args& a, std::uint32_t weights, std::uint32_t tokens) {
    const auto rows = static_cast<int>(padded_rows(a.rows));
    const unsigned pitch = token_pitch(a.rows);
    const std::uint32_t own_tokens =
        tokens + (8 * first_tile() + lane / 16 * 8 + lane % 8) * pitch + lane / 8 % 2 * 16;
#pragma unroll 3
    for (int row = 0; row < rows; row += 2 * kDepth) {
      if constexpr (kShareDepths) {
        const int own = row + second * kDepth;
        if (own < rows) add(weights, own_tokens, pitch, own, even);
      } else {
        add(weights, own_tokens, pitch, row, even);
        if (row + kDepth < rows) add(weights, own_tokens, pitch, row + kDepth, odd);
      }
    }
  }

  // Brings the two halves of the depths together, through `memory` where warps have shared them;
  // those of `second` 0 then have the result.
  __device__ void meet(float4* memory) {
    if constexpr (kShareDepths) {
      float4* own = memory + down * kTiles * device::kWarpThreads + lane;
#pragma unroll
      for (int tile = 0; second == 1 && tile < kTiles; ++tile) {
        own[tile * device::kWarpThreads] = {even[tile][0], even[tile][1], even[tile][2],
                                            even[tile][3]};
      }
      __syncthreads();  // the sums of odd depths are there
#pragma unroll
      for (int tile = 0; second == 0 && tile < kTiles; ++tile) {
        const float4 others = own[tile * device::kWarpThreads];
        odd[tile][0] = others.x;
        odd[tile][1] = others.y;
        odd[tile][2] = others.z;
        odd[tile][3] = others.w;
      }
    }
#pragma unroll
    for (int tile = 0; tile < kTiles; ++tile) {
#pragma unroll
      for (int i = 0; i < 4; ++i) even[tile][i] += odd[tile][i];
    }
  }

  __device__ void leave(__nv_bfloat16* out, float unit) const {
    if (kShareDepths && second == 1) return;
#pragma unroll
    for (int tile = 0; tile < kTiles; ++tile) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int token = 8 * (first_tile() + tile) + 2 * (lane % 4) + i % 2;
        device::store(out + token * kOutPitch + 16 * down + lane / 4 + i / 2 * 8,
                      even[tile][i] * unit);
      }
    }
  }
};

__device__ void store_tokens(const Args& a, __nv_bfloat16* to, int count,
                             const __nv_bfloat16* results) {
  const std::uint32_t piece = threadIdx.x % 8;
  const std::uint32_t column = blockIdx.x * kColumns + piece * 8;
  if (column >= a.weight.cols) return;
  for (int token = static_cast<int>(threadIdx.x) / 8; token < count; token += kThreads / 8) {
    const __nv_bfloat16* from = results + token * kOutPitch + piece * 8;
    __nv_bfloat16* row = to + token * a.out_token;
    if (a.whole_pieces) {
      *reinterpret_cast<uint4*>(row + column) = *reinterpret_cast<const uint4*>(from);
      continue;
    }
#pragma unroll
    for (unsigned i = 0; i < 8; ++i) row[device::column_of(a.weight, column + i)] = from[i];
  }
}

template <class Octet, int kTokens>
__global__ void __launch_bounds__(kThreads, 2) tensor_kernel(const __grid_constant__ Args a) {
  extern __shared__ __align__(128) std::uint8_t memory[];
  const std::int64_t head = blockIdx.z;
  const std::int64_t first_token = static_cast<std::int64_t>(blockIdx.y) * kTokens;
  const unsigned column_blocks = (a.weight.cols + kColumns - 1) / kColumns;
  if (blockIdx.x >= column_blocks) {
    const std::int64_t first = first_token + (blockIdx.x - column_blocks) * kTurnedTokens;
    if (first < a.tokens) turn_tokens(a, first, head);
    return;
  }
  stage_weights<Octet>(a, head, memory);
  const auto unit = Octet::unit(a.weight);
  device::wait_for_earlier_kernels();
  device::let_later_kernels_start();
  const int count = static_cast<int>(min(a.tokens - first_token, std::int64_t{kTokens}));
  std::uint8_t* tokens = memory + padded_rows(a.rows) * (kColumns * 2);
  stage_tokens(a, a.x + first_token * a.x_token + head * a.x_head, count, tokens);
  __syncthreads();  // weights and tokens are there
  WarpSums<kTokens> sums;
  sums.add_all(a, device::shared_address(memory), device::shared_address(tokens));
  __syncthreads();  // nobody still reads them
  auto* results = reinterpret_cast<__nv_bfloat16*>(memory);
  sums.meet(reinterpret_cast<float4*>(memory + kTokens * kOutPitch * 2));
  sums.leave(results, unit);
  __syncthreads();  // all results are there
  store_tokens(a, a.out + first_token * a.out_token + head * a.out_head, count, results);
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

unsigned shared_bytes(const Args& a, int tokens) {
  const auto all_tokens = static_cast<unsigned>(tokens);
  const unsigned staged = padded_rows(a.rows) * kColumns * 2 + all_tokens * token_pitch(a.rows);
  // Results, and the sums of odd depths where warps share them: two tiles of four warps.
  const unsigned results =
      all_tokens * kOutPitch * 2 + (tokens == 16 ? kThreads * unsigned{sizeof(float4)} : 0U);
  return std::max(staged, results);
}

// Eight columns are read at a time, and eight rows of an activation.
bool fits_tensor_cores(const Args& a) {
  const device::Weight& w = a.weight;
  return w.cols % 8 == 0 && w.group % 8 == 0 && aligned(w.data) && a.rows % 8 == 0 &&
         aligned(a.x) && a.x_token % 8 == 0 && a.x_head % 8 == 0 &&
         shared_bytes(a, kTokensMax) <= kSharedBytesMax;
}

bool is_fast_int4(const device::Weight& w) {
  return w.coding == device::Coding::int4 && w.scale_type == device::ScaleType::bf16 &&
         w.group_shift != 0;
}
// Of the scales it must only be known which is whose.
bool is_fast_fp8(const device::Weight& w) {
  using device::ScaleType;
  return w.coding == device::Coding::e4m3 && w.cols % 8 == 0 &&
         (w.groups == 1 || (w.group_shift != 0 && w.group % 8 == 0)) &&
         std::has_single_bit(w.row_block) &&
         (w.scale_type == ScaleType::f32 || w.scale_type == ScaleType::bf16);
}
bool is_fast_fp4(const device::Weight& w) {
  return w.coding == device::Coding::e2m1 && w.group_shift != 0;
}

unsigned blocks(std::int64_t count, std::int64_t of) {
  return static_cast<unsigned>((count + of - 1) / of);
}

Args arguments(const HeadLinear& a) {
  const WeightView weight = a.weight.row_slice(a.first_row, a.weight.layout.rows - a.first_row);
  Args args{.out = a.out.as<__nv_bfloat16>(),
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
            .turned = {},
            .whole_pieces = false};
  args.whole_pieces = args.weight.order == nullptr && aligned(args.out) &&
                      args.out_token % 8 == 0 && args.out_head % 8 == 0;
  return args;
}

template <class Octet, int kTokens>
cudaError_t launch_tensor(const Args& a, cudaStream_t stream) {
  if constexpr (kTokens > 16) {
    if (a.tokens <= kTokens / 2) return launch_tensor<Octet, kTokens / 2>(a, stream);
  }
  const unsigned turned = a.turned.turns.half > 0 ? kTokens / kTurnedTokens : 0;
  const unsigned bytes = shared_bytes(a, kTokens);
  const auto kernel = &tensor_kernel<Octet, kTokens>;
  if (const cudaError_t code = cudaFuncSetAttribute(
          kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes));
      code != cudaSuccess) {
    return code;
  }
  return launch_early(
      {.grid = {blocks(a.weight.cols, kColumns) + turned, blocks(a.tokens, kTokens), a.heads},
       .threads = kThreads,
       .shared_bytes = bytes},
      kernel, stream, a);
}

cudaError_t launch_transposed(const Args& a, std::string_view variant, cudaStream_t stream) {
  if (variant == "naive" || !fits_tensor_cores(a)) {
    constexpr std::int64_t kGridYMax = 65535;
    const auto tokens = static_cast<unsigned>(std::min(a.tokens, kGridYMax));
    return launch_early(
        {.grid = {blocks(a.weight.cols, kNaiveThreads), tokens, a.heads}, .threads = kNaiveThreads},
        &naive_kernel, stream, a);
  }
  if (is_fast_int4(a.weight)) return launch_tensor<device::Int4Octet, kTokensMax>(a, stream);
  if (is_fast_fp4(a.weight)) return launch_tensor<device::Fp4Octet, kTokensMax>(a, stream);
  if (a.weight.coding == device::Coding::bf16) {
    return launch_tensor<device::Bf16Octet, kTokensMax>(a, stream);
  }
  if (is_fast_fp8(a.weight)) return launch_tensor<device::Fp8Octet, kTokensMax>(a, stream);
  return launch_tensor<device::AnyOctet, kTokensMax>(a, stream);
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
