// For many rows: tiles of 64 rows by 128 outputs (gated: 64 of each matrix) pass through shared
// memory in slices of 32 columns. Activations are copied asynchronously, three steps ahead. Weights
// are read into registers four steps ahead and decoded on their way to shared memory, one step
// before their use.
//
// What a step writes takes the place of what the step before has used: one barrier a step orders
// both.
#include "kernels/cuda/product_rows.cuh"
#include "kernels/device/mma.cuh"
#include "kernels/device/reduce.cuh"
#include "kernels/device/weight_fetch.cuh"

namespace glm::kernels::cuda {
namespace {

constexpr int kRows = 64;
constexpr int kColumns = 128;  // of the tile: outputs
constexpr int kDepth = 32;
constexpr int kSlicesX = 4;
constexpr int kSlicesW = 2;
constexpr int kAhead = 3;           // pieces of weights in registers
constexpr int kPitch = kDepth + 8;  // eight rows then lie in different banks
constexpr int kThreads = 256;       // warps: two down, four across, 32 x 32 each
constexpr int kPieces = 2;          // octets of weights a thread reads of a slice

using SliceX = __nv_bfloat16[kRows][kPitch];
using SliceW = __nv_bfloat16[kColumns][kPitch];

// A thread has sixteen columns of one weight row.
template <class Fetch>
struct Piece;
template <>
struct Piece<device::FetchBf16> {
  uint4 octets[kPieces];
  __device__ void read(const device::Weight& w, std::int64_t row, std::uint32_t c) {
#pragma unroll
    for (int j = 0; j < kPieces; ++j) {
      octets[j] = c + 8 * j < w.cols ? device::FetchBf16::read(w, row, c + 8 * j) : uint4{};
    }
  }
  __device__ uint4 octet(int j) const {
    return octets[j];
  }
};
template <>
struct Piece<device::FetchAny> : Piece<device::FetchBf16> {
  __device__ void read(const device::Weight& w, std::int64_t row, std::uint32_t c) {
#pragma unroll
    for (int j = 0; j < kPieces; ++j) {
      octets[j] = c + 8 * j < w.cols ? device::FetchAny::read(w, row, c + 8 * j) : uint4{};
    }
  }
};
template <>
struct Piece<device::FetchInt4> {
  uint2 words = {};
  device::Int4Group group = {};
  __device__ void read(const device::Weight& w, std::int64_t row, std::uint32_t c) {
    if (c >= w.cols) {  // zero times anything but a NaN
      group = {};
      return;
    }
    words = __ldg(reinterpret_cast<const uint2*>(w.data + row * w.row_bytes + c / 2));
    group = device::int4_group(w, row, c);
  }
  __device__ uint4 octet(int j) const {
    return device::int4_word(j == 0 ? words.x : words.y, group);
  }
};

template <>
struct Piece<device::FetchInt4Half> {
  uint2 words = {};
  std::uint16_t scale = 0;
  std::uint8_t zero = 0;
  __device__ void read(const device::Weight& w, std::int64_t row, std::uint32_t c) {
    if (c >= w.cols) {  // zero times anything but a NaN
      scale = 0;
      return;
    }
    words = __ldg(reinterpret_cast<const uint2*>(w.data + row * w.row_bytes + c / 2));
    scale = device::FetchInt4Half::scale_of(w, row, c);
    zero = device::FetchInt4Half::zero_of(w, row, c);
  }
  __device__ uint4 octet(int j) const {
    return device::int4_split_word(j == 0 ? words.x : words.y,
                                   device::int4_split_group(device::ScaleType::f16, scale, zero));
  }
};
template <>
struct Piece<device::FetchFp4> {
  uint2 words = {};
  std::uint32_t scales = 0;
  std::uint32_t column = 0;
  device::ScaleType type = device::ScaleType::e4m3;
  __device__ void read(const device::Weight& w, std::int64_t row, std::uint32_t c) {
    if (c >= w.cols) {
      words = {};
      scales = 0;
      return;
    }
    words = __ldg(reinterpret_cast<const uint2*>(w.data + row * w.row_bytes + c / 2));
    scales = device::FetchFp4::scales(w, row, c);
    column = c;
    type = w.scale_type;
  }
  __device__ uint4 octet(int j) const {
    const std::uint32_t bits =
        type == device::ScaleType::e8m0 ? scales : scales >> (column % 32 / 16 * 8);
    return device::fp4_word(j == 0 ? words.x : words.y, device::fp4_scale(type, bits));
  }
};

template <class Fetch, bool kGated>
__global__ void __launch_bounds__(kThreads) tiles_kernel(Product a) {
  __shared__ __align__(16) SliceX slices_x[kSlicesX];
  __shared__ __align__(16) SliceW slices_w[kSlicesW];
  const RowTile rows = block_tile(a, kRows);
  if (rows.count <= 0) return;
  constexpr int kOutputs = kGated ? kColumns / 2 : kColumns;
  const int thread = static_cast<int>(threadIdx.x);
  const int warp = thread / device::kWarpThreads;
  const int lane = thread % device::kWarpThreads;
  const int warp_row = warp / 4 * 32;
  const int warp_column = warp % 4 * 32;
  const std::int64_t first_output = static_cast<std::int64_t>(blockIdx.x) * kOutputs;
  const std::int64_t expert = a.row_group != nullptr ? rows.group : 0;

  // The weight row of this thread. Gated: of each 32 columns of the tile the first 16 are gate, the
  // others up, so that both of one output meet in one lane.
  const int tile_column = thread / 2;
  const bool of_up = kGated && tile_column % 32 >= 16;
  const std::int64_t output =
      first_output + (kGated ? tile_column / 32 * 16 + tile_column % 16 : tile_column);
  const device::Weight weight = device::weight_at(of_up ? a.up : a.weight, expert);
  const std::int64_t weight_row =
      rows.group * a.weight_rows_per_group + (output < a.outputs ? output : a.outputs - 1);
  const int weight_column = thread % 2 * 16;

  const int x_place = thread / 4;
  const int x_column = thread % 4 * 8;
  const bool x_there = x_place < rows.count;
  const __nv_bfloat16* x = x_row(a, tile_row(a, rows, x_there ? x_place : 0), rows.group);

  const int steps = static_cast<int>((a.inputs + kDepth - 1) / kDepth);
  Piece<Fetch> pieces[kAhead];
  const auto copy_x = [&](int step) {
    const std::int64_t c = static_cast<std::int64_t>(step) * kDepth + x_column;
    const bool valid = step < steps && x_there && c < a.inputs;
    const auto* to = &slices_x[step % kSlicesX][x_place][x_column];
    if (step < steps) device::copy_async_16(device::shared_address(to), valid ? x + c : x, valid);
    device::copy_async_commit();  // also of nothing: the count of groups stays that of steps
  };
  const auto read_w = [&](Piece<Fetch>& piece, int step) {
    if (step >= steps) return;
    piece.read(weight, weight_row, static_cast<std::uint32_t>(step * kDepth + weight_column));
  };
  const auto write_w = [&](const Piece<Fetch>& piece, int step) {
    if (step >= steps) return;
    auto* to = reinterpret_cast<uint4*>(&slices_w[step % kSlicesW][tile_column][weight_column]);
#pragma unroll
    for (int j = 0; j < kPieces; ++j) to[j] = piece.octet(j);
  };

  float sums[2][4][4] = {};
#pragma unroll
  for (int step = 0; step < kAhead; ++step) read_w(pieces[step], step);
#pragma unroll
  for (int step = 0; step < kSlicesX - 1; ++step) copy_x(step);
  write_w(pieces[0], 0);
  read_w(pieces[0], kAhead);
  const auto work_on = [&](int step, Piece<Fetch>& next) {
    device::copy_async_wait<kSlicesX - 2>();
    __syncthreads();  // this step's slices are there, and nobody still reads those of the last
    copy_x(step + kSlicesX - 1);
    write_w(next, step + 1);
    read_w(next, step + 1 + kAhead);
    const SliceX& slice_x = slices_x[step % kSlicesX];
    const SliceW& slice_w = slices_w[step % kSlicesW];
#pragma unroll
    for (int depth = 0; depth < kDepth; depth += 16) {
      std::uint32_t left[2][4];
      std::uint32_t right[2][4];
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const auto* x_at = &slice_x[warp_row + 16 * i + lane % 16][depth + lane / 16 * 8];
        device::load_matrices(left[i], device::shared_address(x_at));
        // Of sixteen weight rows: the first eight at both depths, then the others.
        const int column = warp_column + 16 * i + lane / 16 * 8 + lane % 8;
        const auto* w_at = &slice_w[column][depth + lane / 8 % 2 * 8];
        device::load_matrices(right[i], device::shared_address(w_at));
      }
#pragma unroll
      for (int i = 0; i < 2; ++i) {
#pragma unroll
        for (int n = 0; n < 4; ++n) {
          device::mma_16x8x16(sums[i][n], left[i], right[n / 2][2 * (n % 2)],
                              right[n / 2][2 * (n % 2) + 1]);
        }
      }
    }
  };
  for (int first = 0; first < steps; first += kAhead) {
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {  // so that pieces stay in registers
      if (first + i < steps) work_on(first + i, pieces[(i + 1) % kAhead]);
    }
  }

  const float unit = Fetch::unit(device::weight_at(a.weight, expert));
  const float up_unit = kGated ? Fetch::unit(device::weight_at(a.up, expert)) : 1.0F;
#pragma unroll
  for (int i = 0; i < 2; ++i) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int place = warp_row + 16 * i + 8 * half + lane / 4;
      if (place >= rows.count) continue;
      const std::int64_t row = tile_row(a, rows, place);
#pragma unroll
      for (int n = 0; n < (kGated ? 2 : 4); ++n) {
#pragma unroll
        for (int e = 0; e < 2; ++e) {
          const int across = (kGated ? warp_column / 2 : warp_column) + 8 * n + 2 * (lane % 4) + e;
          if (first_output + across >= a.outputs) continue;
          const float value = sums[i][n][2 * half + e] * unit;
          put(a, row, rows.group, first_output + across,
              kGated ? silu(value) * (sums[i][(n + 2) % 4][2 * half + e] * up_unit) : value);
        }
      }
    }
  }
}

template <class Fetch>
cudaError_t launch(const Product& a, cudaStream_t stream) {
  if (a.gated) {
    tiles_kernel<Fetch, true><<<product_grid(a, kColumns / 2, kRows), kThreads, 0, stream>>>(a);
  } else {
    tiles_kernel<Fetch, false><<<product_grid(a, kColumns, kRows), kThreads, 0, stream>>>(a);
  }
  return cudaGetLastError();
}

}  // namespace

std::int64_t tiles_tile_rows(const Product& /*a*/) {
  return kRows;
}

cudaError_t launch_tiles(const Product& a, cudaStream_t stream) {
  if (is_fast_int4(a)) return launch<device::FetchInt4>(a, stream);
  if (is_half_int4(a)) return launch<device::FetchInt4Half>(a, stream);
  if (is_fast_fp4(a)) return launch<device::FetchFp4>(a, stream);
  const bool plain = a.weight.first.coding == device::Coding::bf16 &&
                     (!a.gated || a.up.first.coding == device::Coding::bf16);
  return plain ? launch<device::FetchBf16>(a, stream) : launch<device::FetchAny>(a, stream);
}

}  // namespace glm::kernels::cuda
