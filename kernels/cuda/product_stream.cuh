// One block of the variant "stream" (product_stream.cu): sixteen rows of weights, or eight and
// eight when gated, against a tile of activations that lies in memory or in shared memory.
#pragma once

#include "kernels/cuda/product_rows.cuh"
#include "kernels/device/mma.cuh"
#include "kernels/device/reduce.cuh"
#include "kernels/device/weight_fetch.cuh"

namespace glm::kernels::cuda {

constexpr int kStreamWarpsMax = 8;
constexpr int kStreamWeightRows = 16;
constexpr int kStreamTileRows = 8;  // columns of a tensor-core tile

template <bool kGated>
constexpr int kStreamOutputs = kGated ? kStreamWeightRows / 2 : kStreamWeightRows;

// Where a lane's row of activations begins in each tile; null beyond the last.
template <int kTiles>
using StreamRows = const __nv_bfloat16* [kTiles];

// Sums of warps on their way to each other.
template <int kTiles>
using StreamSums = float[kStreamWarpsMax][kTiles * kStreamTileRows][kStreamWeightRows + 1];

template <class Fetch, int kTiles, bool kGated>
class StreamBlock {
 public:
  // `block` counts outputs.
  __device__ StreamBlock(const Product& a, const RowTile& rows, unsigned block)
      : a_(a),
        rows_(rows),
        first_output_(static_cast<std::int64_t>(block) * kOutputs),
        inputs_(static_cast<unsigned>(a.inputs)),
        warps_(blockDim.x / device::kWarpThreads),
        lane_(static_cast<int>(threadIdx.x) % device::kWarpThreads),
        column_(threadIdx.x / device::kWarpThreads * kStep),
        lane_column_(static_cast<unsigned>(lane_ % 4) * Fetch::kColumns) {
    const std::int64_t expert = a.row_group != nullptr ? rows.group : 0;
    const bool joined = !kGated && a.joined_at > 0 && first_output_ >= a.joined_at;
    const std::int64_t before = joined ? a.joined_at : 0;
    weights_[0] = device::weight_at(a.weight, expert);
    if (joined) {
      // All else is the same.
      weights_[0].data = a.up.first.data;
      weights_[0].scales = a.up.first.scales;
      weights_[0].zeros = a.up.first.zeros;
      weights_[0].global = a.up.first.global;
    }
    weights_[1] = kGated ? device::weight_at(a.up, expert) : weights_[0];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const std::int64_t output = first_output_ + lane_ / 4 + (kGated ? 0 : 8 * half);
      // Outputs beyond the last compute that one again, and nobody stores it.
      weight_rows_[half] =
          rows.group * a.weight_rows_per_group + min(output, a.outputs - 1) - before;
    }
  }

  // Asks for the first weights, and for what all have in common; they depend on nothing.
  __device__ void begin() {
    read_weights();
#pragma unroll
    for (int half = 0; half < 2; ++half) units_[half] = Fetch::unit(weights_[half]);
  }

  // Rows of activations, this lane's in each tile.
  __device__ void multiply(const StreamRows<kTiles>& x) {
    while (column_ < inputs_) {
#pragma unroll
      for (int i = 0; i < kInFlight; ++i) {
        const unsigned c = column_ + i * warps_ * kStep + lane_column_;
        if (c - lane_column_ >= inputs_) break;  // the same for the whole warp
        multiply(raw_[i], x, c);
      }
      column_ += kInFlight * warps_ * kStep;
      if (column_ < inputs_) read_weights();
    }
  }

  // Adds the warps' sums in their order and stores them. All threads.
  __device__ void store(StreamSums<kTiles>& partial) {
    hand_out(partial, [&](int n, int o, float value) {
      put(a_, tile_row(a_, rows_, n), rows_.group, first_output_ + o, value);
    });
  }

  // The same with take(row, output of the block, value) in place of storing.
  template <class Take>
  __device__ void hand_out(StreamSums<kTiles>& partial, const Take& take) {
    const int warp = static_cast<int>(threadIdx.x) / device::kWarpThreads;
#pragma unroll
    for (int tile = 0; tile < kTiles; ++tile) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int n = tile * kStreamTileRows + 2 * (lane_ % 4) + i % 2;
        partial[warp][n][lane_ / 4 + 8 * (i / 2)] = sums_[tile][i];
      }
    }
    __syncthreads();  // the sums of all warps are there
    for (int at = static_cast<int>(threadIdx.x); at < rows_.count * kOutputs; at += blockDim.x) {
      const int n = at / kOutputs;
      const int o = at % kOutputs;
      if (first_output_ + o >= a_.outputs) continue;
      const auto total = [&](int weight_row) {
        float sum = 0;
        for (unsigned w = 0; w < warps_; ++w) sum += partial[w][n][weight_row];
        return sum;
      };
      const float first = total(o) * units_[0];
      const float value =
          kGated ? silu(first) * (total(o + kOutputs % kStreamWeightRows) * units_[1]) : first;
      take(n, o, value);
    }
  }

 private:
  using Raw = typename Fetch::Raw;
  static constexpr int kOutputs = kStreamOutputs<kGated>;
  static constexpr int kInFlight = kTiles > 4 ? 1 : Fetch::kInFlight;  // others need the registers
  static constexpr unsigned kStep = 4 * Fetch::kColumns;  // columns a warp takes at a time

  __device__ void read_weights() {
#pragma unroll
    for (int i = 0; i < kInFlight; ++i) {
      const unsigned c = column_ + i * warps_ * kStep + lane_column_;
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        raw_[i][half] = c < inputs_ ? Fetch::read(weights_[half], weight_rows_[half], c) : Raw{};
      }
    }
  }

  // sums += 16 rows of weights * 8 * kTiles of activations, over the columns this lane has read,
  // which begin at c. Nothing is read of activations beyond the last.
  __device__ void multiply(const Raw (&raw)[2], const StreamRows<kTiles>& x, unsigned c) {
    const typename Fetch::Ready weights[2] = {Fetch::ready(raw[0]), Fetch::ready(raw[1])};
#pragma unroll
    for (int octet = 0; octet < Fetch::kColumns / 8; ++octet) {
      uint4 eights[kTiles];
#pragma unroll
      for (int tile = 0; tile < kTiles; ++tile) {
        const bool there = x[tile] != nullptr && c < inputs_;
        eights[tile] =
            there ? Fetch::arrange(reinterpret_cast<const uint4*>(x[tile] + c)[octet]) : uint4{};
      }
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int step = 2 * octet + half;
        const std::uint32_t pairs[4] = {
            Fetch::pair(weights[0], step, 0), Fetch::pair(weights[1], step, 0),
            Fetch::pair(weights[0], step, 1), Fetch::pair(weights[1], step, 1)};
#pragma unroll
        for (int tile = 0; tile < kTiles; ++tile) {
          device::mma_16x8x16(sums_[tile], pairs, device::word_of(eights[tile], 2 * half),
                              device::word_of(eights[tile], 2 * half + 1));
        }
      }
    }
  }

  const Product& a_;
  RowTile rows_;
  std::int64_t first_output_;
  unsigned inputs_;
  unsigned warps_;
  int lane_;
  unsigned column_;  // of the whole warp
  unsigned lane_column_;
  device::Weight weights_[2];
  std::int64_t weight_rows_[2];
  decltype(Fetch::unit(device::Weight())) units_[2] = {};
  Raw raw_[kInFlight][2];
  float sums_[kTiles][4] = {};
};

}  // namespace glm::kernels::cuda
