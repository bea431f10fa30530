// One block of the variants "held" and "held_wide" (product_held.cu): a few tiles of outputs, all
// columns. Weights depend on nothing: they are read before the kernel in front has ended, and most
// are decoded by then, in registers. A wide block has another tile, which is decoded in shared
// memory, and eight outputs more that are decoded when they are used: their rows of the tensor-core
// tile are two sets of columns, which meet four rows of activations at most. For more rows they are
// one set twice, and activations, for which shared memory has no room, come to registers.
//
// Weights of one or two tiles are read as a tile wants them, a little of each of eight rows. Of
// more that keeps the first-level cache busy for as long as all the rest takes: they come to shared
// memory as they are stored, each row as a whole by one warp. Decoded weights only the thread reads
// that has left them.
#pragma once

#include "kernels/cuda/aligned.h"
#include "kernels/cuda/held_math.cuh"

namespace glm::kernels::cuda {

// kInRegisters: tiles. kRows: at most.
template <class Codec, int kSteps, int kInRegisters, bool kWide,
          int kRows = kWide ? kHeldRowsMax / 2 : kHeldRowsMax>
class HeldTiles {
 public:
  static constexpr int kTiles = kInRegisters + (kWide ? 1 : 0);
  static constexpr int kOutputs = kTiles * kHeldTile + (kWide ? kHeldTile / 2 : 0);
  static constexpr int kRowsMax = kRows;
  static constexpr bool kXInRegisters = kWide && kRows > kHeldRowsMax / 2;
  static constexpr unsigned kColumns = kSteps * kHeldStep;  // of a warp

  static constexpr bool kStaged = kWide || kTiles > 2;
  static_assert(!kStaged || Codec::kMayBeStaged);

  // Bytes from row to row of weights and of their scales, as they are stored: neighbours lie in
  // different banks.
  static constexpr unsigned kPitch = held_bytes<Codec>(kHeldWarps * kColumns) + 32;
  static constexpr unsigned kScalesPitch = kHeldWarps * kColumns / 32 * 2 + 16;
  static constexpr unsigned kStoredBytes = kTiles * kHeldTile * (kPitch + kScalesPitch);

  // Shared memory for weights, at a multiple of sixteen. Of a wide block the tile that is decoded
  // there takes the place of those as they are stored.
  static constexpr unsigned kDecodedBytes = kSteps * 4 * kHeldThreads * sizeof(uint4);
  static constexpr unsigned kWideBytes = kDecodedBytes + kSteps * kHeldThreads * sizeof(uint2);
  static constexpr std::size_t kBytes = kWide ? kWideBytes : kStaged ? kStoredBytes : 0;
  static_assert(!kWide || kStoredBytes <= kDecodedBytes);

  // A warp has so many bytes there that the sums of a row fit in, and so many times as rows.
  static constexpr bool kSumsInPlace = kWide;
  static_assert(kOutputs * sizeof(float) <= device::kWarpThreads * sizeof(uint4) &&
                kRowsMax <= 4 * kSteps);

  // What copies of whole rows want of weights, beside what all want.
  static bool can_be_staged(const Product& a) {
    const auto suits = [](const device::Weight& w) {
      return w.groups * sizeof(typename Codec::Scale) % sizeof(uint4) == 0 && aligned(w.scales);
    };
    return suits(a.weight.first) && (a.joined_at == 0 || suits(a.up.first));
  }

  // `block` counts outputs. Asks for the weights.
  __device__ HeldTiles(const Product& a, unsigned block, unsigned char* memory)
      : memory_(memory),
        first_output_(block * kOutputs),
        inputs_(static_cast<unsigned>(a.inputs)),
        unit_(Codec::unit(a.weight.first)),
        rest_unit_(Codec::unit(a.up.first)) {
    const device::Weight& w = a.weight.first;
    if constexpr (kWide) {
      const Row row(a, first_output_ + kTiles * kHeldTile + held_lane() / 4);
#pragma unroll
      for (int s = 0; s < kSteps; ++s) {
        const unsigned c = column(s);
        device::copy_async_8(device::shared_address(&stored(s)),
                             row.data + (c < inputs_ ? held_bytes<Codec>(c) : 0), c < inputs_);
        stored_scales_[s] = row.scale(w, c, inputs_);
      }
      device::copy_async_commit();
    }
    if constexpr (kStaged) {
      ask(a);
    } else {
      read(a);
    }
  }

  // As soon as the weights are there. Where they are staged, all threads meet.
  __device__ void decode(const Product& a) {
    if constexpr (kStaged) take(a);
    const device::ScaleType type = a.weight.first.scale_type;
#pragma unroll
    for (int s = 0; s < kSteps; ++s) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        if constexpr (kWide) {
          in_shared(s, i) =
              Codec::fragment(raw_[kInRegisters][s], scales_[kInRegisters][s], type, i);
        }
#pragma unroll
        for (int tile = 0; tile < kInRegisters; ++tile) {
          uint4& four = in_registers_[tile][s][i];
          four = Codec::fragment(raw_[tile][s], scales_[tile][s], type, i);
          // Here, and not where it is used.
          asm volatile("" : "+r"(four.x), "+r"(four.y), "+r"(four.z), "+r"(four.w));
        }
      }
    }
  }

  // Brings this warp's columns of all rows to shared memory, where rows of held_pitch() begin at
  // `to`, and zeros up to a whole step.
  __device__ void stage(const Product& a, __nv_bfloat16* to) const {
    constexpr unsigned kOctets = kColumns / device::kOctet;
    constexpr unsigned kOfLane = (kOctets + device::kWarpThreads - 1) / device::kWarpThreads;
    const unsigned pitch = held_pitch(inputs_);
    const auto rows = static_cast<unsigned>(a.rows);
    const auto* from = static_cast<const __nv_bfloat16*>(a.x);
#pragma unroll 2
    for (unsigned row = 0; row < rows; ++row, from += a.x_stride, to += pitch) {
      uint4 octets[kOfLane];
#pragma unroll
      for (unsigned i = 0; i < kOfLane; ++i) {
        const unsigned at = i * device::kWarpThreads + held_lane();
        const unsigned c = first_column() + at * device::kOctet;
        const bool there = at < kOctets && c < inputs_;
        octets[i] = there ? __ldcg(reinterpret_cast<const uint4*>(from + c)) : uint4{};
      }
#pragma unroll
      for (unsigned i = 0; i < kOfLane; ++i) {
        const unsigned at = i * device::kWarpThreads + held_lane();
        const unsigned c = first_column() + at * device::kOctet;
        if (at < kOctets && c < pitch - device::kOctet) {
          device::write_octet(to + c, device::int4_order(octets[i]));
        }
      }
    }
    __syncwarp();  // the columns of all lanes are there
  }

  // With activations as they are in memory, of as many columns as there are in all steps. Those of
  // some steps are on their way at a time.
  __device__ void multiply_from_memory(const Product& a) {
    static_assert(kXInRegisters);
    constexpr int kAhead = 3;
    static_assert(kAhead <= kSteps);
    // Neighbouring lanes read sectors of each other's, so that each is read as a whole.
    const bool odd = held_lane() % 2 != 0;
    const unsigned row = min(held_lane() / 4, static_cast<unsigned>(a.rows) - 1);
    const unsigned first = first_column() + held_lane() % 4 / 2 * 32 + held_lane() % 2 * 8;
    const auto* from = static_cast<const __nv_bfloat16*>(a.x) + row * a.x_stride + first;
    uint4 ahead[kAhead][2];
    const auto read = [&](int s) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        ahead[s % kAhead][half] =
            __ldcg(reinterpret_cast<const uint4*>(from + s * kHeldStep + half * 16));
      }
    };
#pragma unroll
    for (int s = 0; s < kAhead; ++s) read(s);
#pragma unroll
    for (int s = 0; s < kSteps; ++s) {
      const uint4 low = ahead[s % kAhead][0];
      const uint4 high = ahead[s % kAhead][1];
      const uint4 other = exchanged(either(odd, low, high));
      const uint4 own[2] = {device::int4_order(either(odd, other, low)),
                            device::int4_order(either(odd, high, other))};
      if (s + kAhead < kSteps) read(s + kAhead);
      const uint2 raw[2] = {stored(s), stored(s)};
      const typename Codec::Scale scales[2] = {stored_scales_[s], stored_scales_[s]};
#pragma unroll
      for (int i = 0; i < 4; ++i) {
#pragma unroll
        for (int tile = 0; tile < kInRegisters; ++tile) {
          held_multiply(sums_[tile], in_registers_[tile][s][i], own[i / 2], i);
        }
        held_multiply(sums_[kInRegisters], in_shared(s, i), own[i / 2], i);
        held_multiply(i < 2 ? sums_[kTiles] : of_others_,
                      Codec::fragment(raw, scales, a.weight.first.scale_type, i), own[i / 2], i);
      }
    }
  }

  // `x`: where rows of activations begin in shared memory.
  __device__ void multiply(const Product& a, const __nv_bfloat16* x) {
    const unsigned pitch = held_pitch(inputs_);
    const auto rows = static_cast<unsigned>(a.rows);
    const unsigned n = held_lane() / 4;
    x += first_column() + held_lane() % 4 * 16;
    const __nv_bfloat16* own = x + n * pitch;
    const __nv_bfloat16* of_halves = x + n % 4 * pitch + n / 4 * device::kOctet;
#pragma unroll
    for (int s = 0; s < kSteps; ++s) {
      if (first_column() + s * kHeldStep >= inputs_) break;  // the same for the whole warp
      float of_step[kInRegisters][4] = {};
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        if (i % 2 == 0) {
          eight_ = held_octet(own + s * kHeldStep + i / 2 * device::kOctet, n < rows);
        }
#pragma unroll
        for (int tile = 0; tile < kInRegisters; ++tile) {
          held_multiply(Codec::kScalesSums ? of_step[tile] : sums_[tile], in_registers_[tile][s][i],
                        eight_, i);
        }
        if constexpr (kWide) held_multiply(sums_[kInRegisters], in_shared(s, i), eight_, i);
      }
      if constexpr (Codec::kScalesSums) {
#pragma unroll
        for (int tile = 0; tile < kInRegisters; ++tile) {
#pragma unroll
          for (int i = 0; i < 4; ++i) {
            sums_[tile][i] += of_step[tile][i] * scales_[tile][s][i / 2].value();
          }
        }
      }
      if constexpr (kWide) {
        const uint4 eight = held_octet(of_halves + s * kHeldStep, n % 4 < rows);
        const uint2 raw[2] = {{stored(s).x, 0}, {stored(s).y, 0}};
        const typename Codec::Scale scales[2] = {stored_scales_[s], stored_scales_[s]};
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          held_multiply(sums_[kTiles], Codec::fragment(raw, scales, a.weight.first.scale_type, i),
                        eight, i);
        }
      }
    }
  }

  // Adds the warps' sums in their order: take(row, output, sum). All threads; `partial` are as many
  // as rows.
  template <class Take>
  __device__ void hand_out(const Product& a, const HeldSums& partial, const Take& take) {
    if constexpr (kWide) __syncwarp();  // sums go where weights were that all lanes have read
    const int rows = static_cast<int>(a.rows);
#pragma unroll
    for (int tile = 0; tile < kTiles; ++tile) {
      held_leave(sums_[tile], partial, rows, tile * kHeldTile);
    }
    if constexpr (kWide) {
      const int lane = static_cast<int>(held_lane());
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const float other =
            kXInRegisters ? of_others_[i] : __shfl_down_sync(0xFFFFFFFFU, sums_[kTiles][2 + i], 2);
        const int row = 2 * (lane % 4) + i;
        if (row < kRowsMax && row < rows) {
          partial.at(row, held_warp())[kTiles * kHeldTile + lane / 4] = sums_[kTiles][i] + other;
        }
      }
    }
    __syncthreads();  // the sums of all warps are there
    const float unit = unit_;
    const float rest_unit = rest_unit_;
    held_hand_out<kOutputs>(a, partial, first_output_,
                            [&](unsigned row, unsigned output, float sum) {
                              take(row, output, sum * (is_rest(a, output) ? rest_unit : unit));
                            });
  }

 private:
  static_assert(kHeldTile == kHeldWarps);  // a row of each tile for each warp
  static constexpr unsigned kScalesAt = kTiles * kHeldTile * kPitch;

  __device__ void read(const Product& a) {
    const device::Weight& w = a.weight.first;
#pragma unroll
    for (int tile = 0; tile < kTiles; ++tile) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const Row row(a, first_output_ + tile * kHeldTile + 8 * half + held_lane() / 4);
#pragma unroll
        for (int s = 0; s < kSteps; ++s) {
          const unsigned c = column(s);
          raw_[tile][s][half] = {};
          if (c < inputs_) {
            raw_[tile][s][half] = __ldg(
                reinterpret_cast<const typename Codec::Raw*>(row.data + held_bytes<Codec>(c)));
          }
          // Sums of all lanes are those of the step.
          const unsigned of_step = first_column() + s * kHeldStep;
          scales_[tile][s][half] = row.scale(w, Codec::kScalesSums ? of_step : c, inputs_);
        }
      }
    }
  }
  __device__ void ask(const Product& a) {
    const device::Weight& w = a.weight.first;
    const std::uint32_t to = device::shared_address(memory_);
    const auto copy = [](std::uint32_t to, const void* from, unsigned bytes) {
#pragma unroll 1
      for (unsigned at = held_lane() * 16; at < bytes; at += device::kWarpThreads * 16) {
        device::copy_async_16(to + at, static_cast<const std::uint8_t*>(from) + at, true);
      }
    };
#pragma unroll
    for (int i = 0; i < kTiles; ++i) {
      const unsigned row = held_warp() + i * kHeldWarps;
      const Row from(a, first_output_ + row);
      copy(to + row * kPitch, from.data, static_cast<unsigned>(w.row_bytes));
      copy(to + kScalesAt + row * kScalesPitch, from.scales,
           w.groups * sizeof(typename Codec::Scale));
    }
    device::copy_async_commit();
  }

  __device__ void take(const Product& a) {
    const device::Weight& w = a.weight.first;
    device::copy_async_wait<0>();
    __syncthreads();  // what all have copied is there
#pragma unroll
    for (int tile = 0; tile < kTiles; ++tile) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const unsigned row = tile * kHeldTile + 8 * half + held_lane() / 4;
        const unsigned char* data = memory_ + row * kPitch;
        const unsigned char* scales = memory_ + kScalesAt + row * kScalesPitch;
#pragma unroll
        for (int s = 0; s < kSteps; ++s) {
          const unsigned c = column(s);
          raw_[tile][s][half] = {};
          scales_[tile][s][half] = typename Codec::Scale{};
          if (c >= inputs_) continue;
          raw_[tile][s][half] =
              *reinterpret_cast<const typename Codec::Raw*>(data + held_bytes<Codec>(c));
          scales_[tile][s][half] =
              reinterpret_cast<const typename Codec::Scale*>(scales)[c >> w.group_shift];
        }
      }
    }
    if constexpr (kWide) __syncthreads();  // all have read: decoded weights may come there
  }

  // By words: else the compiler chooses between places in memory.
  __device__ static uint4 either(bool first, const uint4& a, const uint4& b) {
    return {first ? a.x : b.x, first ? a.y : b.y, first ? a.z : b.z, first ? a.w : b.w};
  }
  // With the lane next to this one.
  __device__ static uint4 exchanged(const uint4& v) {
    return {__shfl_xor_sync(0xFFFFFFFFU, v.x, 1), __shfl_xor_sync(0xFFFFFFFFU, v.y, 1),
            __shfl_xor_sync(0xFFFFFFFFU, v.z, 1), __shfl_xor_sync(0xFFFFFFFFU, v.w, 1)};
  }
  // Whether it is an output of `up`.
  __device__ static bool is_rest(const Product& a, unsigned output) {
    return a.joined_at > 0 && output >= a.joined_at;
  }
  // Of weights; beyond the last it is that one again, and nobody takes what comes of it.
  struct Row {
    const std::uint8_t* data;
    typename Codec::RowScales scales;

    __device__ Row(const Product& a, unsigned output) {
      const unsigned of_both = min(output, static_cast<unsigned>(a.outputs) - 1);
      const bool rest = is_rest(a, of_both);
      const device::Weight& w = rest ? a.up.first : a.weight.first;
      const std::int64_t own = std::int64_t{of_both} - (rest ? a.joined_at : 0);
      data = w.data + own * w.row_bytes;
      scales = Codec::row_scales(w, own);
    }
    __device__ typename Codec::Scale scale(const device::Weight& w, unsigned c,
                                           unsigned inputs) const {
      return c < inputs ? Codec::scale(scales, w, c) : typename Codec::Scale{};
    }
  };

  __device__ static unsigned first_column() {
    return held_warp() * kColumns;
  }
  __device__ static unsigned column(int step) {
    return first_column() + step * kHeldStep + held_lane() % 4 * 16;
  }
  __device__ uint4& in_shared(int step, int i) const {
    return reinterpret_cast<uint4*>(memory_)[(step * 4 + i) * kHeldThreads + threadIdx.x];
  }
  __device__ uint2& stored(int step) const {
    return reinterpret_cast<uint2*>(memory_ + kDecodedBytes)[step * kHeldThreads + threadIdx.x];
  }

  unsigned char* memory_;
  unsigned first_output_;
  unsigned inputs_;
  decltype(Codec::unit(device::Weight())) unit_;
  decltype(Codec::unit(device::Weight())) rest_unit_;  // of `up`
  typename Codec::Raw raw_[kTiles][kSteps][2];
  typename Codec::Scale scales_[kTiles][kSteps][2];
  typename Codec::Scale stored_scales_[kSteps];
  uint4 in_registers_[kInRegisters][kSteps][4];
  uint4 eight_;  // activations
  float sums_[kTiles + 1][4] = {};
  float of_others_[4] = {};  // of the other set of columns, added in the end, as of fewer rows
};

// A block's shared memory: after weights come activations, then sums, which go to the place of
// their warp's decoded weights if there are any.
template <class Tiles>
struct HeldMemory {
  __nv_bfloat16* x;
  HeldSums partial;

  __device__ HeldMemory(const Product& a, unsigned char* memory)
      : x(reinterpret_cast<__nv_bfloat16*>(memory + Tiles::kBytes)),
        partial(Tiles::kSumsInPlace
                    ? HeldSums{reinterpret_cast<float*>(memory), kHeldThreads * sizeof(uint4) / 4,
                               device::kWarpThreads * sizeof(uint4) / 4}
                    : HeldSums{reinterpret_cast<float*>(
                                   x + a.rows * held_pitch(static_cast<unsigned>(a.inputs))),
                               kHeldWarps * kSumsPitch, kSumsPitch}) {}
  static std::size_t bytes(const Product& a) {
    const std::size_t row =
        Tiles::kXInRegisters ? 0
                             : held_pitch(static_cast<unsigned>(a.inputs)) * sizeof(__nv_bfloat16);
    const std::size_t sums = Tiles::kSumsInPlace ? 0 : kHeldWarps * kSumsPitch * sizeof(float);
    return Tiles::kBytes + static_cast<std::size_t>(a.rows) * (row + sums);
  }

 private:
  static constexpr unsigned kSumsPitch = Tiles::kOutputs + 1;
};

}  // namespace glm::kernels::cuda
