// Two ways. `tensor`: a block has 64 columns of one head and 16 tokens; its warps share out the
// rows and add their sums in a fixed order. Columns are the rows of the tensor-core tile, tokens
// its columns. A lane reads eight columns of four rows; those of two rows, taken in turn, are the
// pairs that tensor cores want, and which column of the 64 is which row of a tile is free. `naive`:
// a thread has one column of one token.
//
// The result of a token depends on the variant, never on the other tokens.
#include "kernels/cuda/device_weight.h"
#include "kernels/cuda/head_transposed.h"
#include "kernels/device/int4.cuh"
#include "kernels/device/mma.cuh"
#include "kernels/device/numbers.cuh"
#include "kernels/device/reduce.cuh"
#include "kernels/device/weight.cuh"

namespace glm::kernels::cuda {
namespace {

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

template <class Octet>
__global__ void __launch_bounds__(kWarps* device::kWarpThreads) tensor_kernel(Args a) {
  __shared__ float partial[kWarps][kTokens][kColumns + 1];
  const int warp = static_cast<int>(threadIdx.x) / device::kWarpThreads;
  const int lane = static_cast<int>(threadIdx.x) % device::kWarpThreads;
  const int pair = 2 * (lane % 4);  // of rows and, in results, of tokens
  const std::int64_t head = blockIdx.z;
  const std::int64_t first_token = static_cast<std::int64_t>(blockIdx.y) * kTokens;
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
        inputs[tile][half] =
            there ? __ldg(reinterpret_cast<const std::uint32_t*>(x[tile] + own)) : 0U;
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

bool aligned(const void* address, std::uintptr_t bytes) {
  return reinterpret_cast<std::uintptr_t>(address) % bytes == 0;
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

}  // namespace

cudaError_t launch_head_transposed(const HeadLinear& a, std::string_view variant,
                                   cudaStream_t stream) {
  const WeightView weight = a.weight.row_slice(a.first_row, a.weight.layout.rows - a.first_row);
  const Args args{.out = a.out.as<__nv_bfloat16>(),
                  .x = a.x.as<__nv_bfloat16>(),
                  .weight = device_weight(weight),
                  .out_token = a.out.stride(0),
                  .out_head = a.out.stride(1),
                  .x_token = a.x.stride(0),
                  .x_head = a.x.stride(1),
                  .head_rows = a.head_rows,
                  .tokens = a.x.size(0),
                  .rows = static_cast<int>(a.rows())};
  const auto heads = static_cast<unsigned>(a.x.size(1));
  const std::int64_t cols = a.out.size(2);
  if (variant == "naive" || !fits_tensor_cores(args)) {
    constexpr std::int64_t kGridYMax = 65535;
    const auto tokens = static_cast<unsigned>(args.tokens < kGridYMax ? args.tokens : kGridYMax);
    const dim3 grid(blocks(cols, kNaiveThreads), tokens, heads);
    naive_kernel<<<grid, kNaiveThreads, 0, stream>>>(args);
    return cudaGetLastError();
  }
  const dim3 grid(blocks(cols, kColumns), blocks(args.tokens, kTokens), heads);
  constexpr unsigned kThreads = kWarps * device::kWarpThreads;
  if (is_fast_int4(args.weight)) {
    tensor_kernel<Int4Octet><<<grid, kThreads, 0, stream>>>(args);
  } else if (args.weight.coding == device::Coding::bf16) {
    tensor_kernel<Bf16Octet><<<grid, kThreads, 0, stream>>>(args);
  } else {
    tensor_kernel<AnyOctet><<<grid, kThreads, 0, stream>>>(args);
  }
  return cudaGetLastError();
}

}  // namespace glm::kernels::cuda
