// The shared expert of moe_opening.cu in nvfp4 or e4m3: weights are read and decoded to where
// copies would bring those in bf16, before the kernel in front has ended (sm_90a only). What is
// multiplied with them waits for the same barriers.
#pragma once

#include "kernels/cuda/moe_opening_block.cuh"
#include "kernels/device/fp4.cuh"
#include "kernels/device/fp8.cuh"
#include "kernels/device/weight.cuh"

namespace glm::kernels::cuda {

// How weights are coded. A lane has thirty-two columns of a row at a time, as four octets in bf16,
// whose sums are to be multiplied with a unit.
struct OpeningPlain {  // bf16, which copies bring
  static constexpr bool kPacked = false;
  __device__ static float unit(const device::Weight& /*w*/) { return 1; }
};

struct OpeningFp4 {
  static constexpr bool kPacked = true;
  __device__ static device::Fp4Unit unit(const device::Weight& w) { return device::Fp4Unit(w); }

  class Columns {
   public:
    __device__ void read(const device::Weight& w, std::int64_t row, std::uint32_t c) {
      words_ = __ldg(reinterpret_cast<const uint4*>(w.data + row * w.row_bytes + c / 2));
      scales_ = __ldg(reinterpret_cast<const std::uint16_t*>(
          static_cast<const std::uint8_t*>(w.scales) + row * w.groups + c / 16));
    }
    __device__ void decode(uint4 (&octets)[4]) const {
      const __nv_bfloat162 scales =
          device::fp4_row_scales(device::ScaleType::e4m3, std::uint32_t{scales_});
      octets[0] = device::fp4_word(words_.x, __low2bfloat16(scales));
      octets[1] = device::fp4_word(words_.y, __low2bfloat16(scales));
      octets[2] = device::fp4_word(words_.z, __high2bfloat16(scales));
      octets[3] = device::fp4_word(words_.w, __high2bfloat16(scales));
    }

   private:
    uint4 words_;
    std::uint16_t scales_;
  };
};

struct OpeningFp8 {
  static constexpr bool kPacked = true;
  __device__ static float unit(const device::Weight& /*w*/) { return 1; }

  class Columns {
   public:
    __device__ void read(const device::Weight& w, std::int64_t row, std::uint32_t c) {
      const auto* from = reinterpret_cast<const uint4*>(w.data + row * w.row_bytes + c);
      front_ = __ldg(from);
      back_ = __ldg(from + 1);
      scale_ = device::fp8_scale(w, row, c);
    }
    __device__ void decode(uint4 (&octets)[4]) const {
      const float scale = scale_.value();
      octets[0] = device::scaled_e4m3x8({front_.x, front_.y}, scale);
      octets[1] = device::scaled_e4m3x8({front_.z, front_.w}, scale);
      octets[2] = device::scaled_e4m3x8({back_.x, back_.y}, scale);
      octets[3] = device::scaled_e4m3x8({back_.z, back_.w}, scale);
    }

   private:
    uint4 front_;
    uint4 back_;
    device::Fp8Scale scale_;
  };
};

// Of both halves, what sums are to be multiplied with.
template <class Coding>
struct OpeningUnits {
  using Unit = decltype(Coding::unit(device::Weight()));
  Unit gate;
  Unit up;
  Unit down;

  __device__ explicit OpeningUnits(const OpeningArgs& a)
      : gate(Coding::unit(a.gate)), up(Coding::unit(a.up)), down(Coding::unit(a.down)) {}
};

// What a warp has of kRows rows of a step: each lane half of every sixteenth.
template <class Coding, int kRows>
class PackedStep {
 public:
  struct From {
    const device::Weight& weight;
    int row;
  };
  // Half of the rows from one place, half from another.
  __device__ void read(const From& upper, const From& lower, int column) {
    const unsigned lane = threadIdx.x % device::kWarpThreads;
    const std::uint32_t c = static_cast<unsigned>(column) + lane % 2 * 32;
#pragma unroll
    for (int i = 0; i < kItems; ++i) {
      const From& from = 2 * i < kItems ? upper : lower;
      own_[i].read(from.weight, from.row + static_cast<int>(lane) / 2 + i % (kItems / 2) * 16, c);
    }
  }
  // As copies lay rows of 64 columns.
  __device__ void decode(std::uint32_t to) const {
    const unsigned lane = threadIdx.x % device::kWarpThreads;
#pragma unroll
    for (unsigned i = 0; i < kItems; ++i) {
      uint4 octets[4];
      own_[i].decode(octets);
      const unsigned row = lane / 2 + i * 16;
#pragma unroll
      for (unsigned o = 0; o < 4; ++o) {
        const unsigned piece = lane % 2 * 4 + o;
        store(to + row * (kOpeningDepth * 2) + (piece ^ row % 8) * 16, octets[o]);
      }
    }
  }

 private:
  static constexpr int kItems = kRows / 16;
  __device__ static void store(std::uint32_t to, const uint4& octet) {
    asm volatile("st.shared.v4.u32 [%0], {%1, %2, %3, %4};\n" ::"r"(to), "r"(octet.x), "r"(octet.y),
                 "r"(octet.z), "r"(octet.w)
                 : "memory");
  }
  typename Coding::Columns own_[kItems];
};

// By a whole warp, when it has decoded a step: its activations may still come.
__device__ inline void step_is_decoded(const OpeningBlock& block, std::uint32_t full) {
  device::shared_is_written();
  __syncwarp();  // by all lanes
  if (threadIdx.x % device::kWarpThreads == 0) {
    device::barrier_arrive_expecting(full, block.plan.slot);
  }
}

// Steps of a half, two at a time, by warp `warp` of so many. `read(step, packed)` reads one,
// `to(step)` and `full(step)` are its place and barrier.
template <class Coding, int kRows, class Read, class To, class Full>
__device__ void decode_steps(const OpeningBlock& block, int steps, int warp, int warps,
                             const Read& read, const To& to, const Full& full) {
#pragma unroll 1
  for (int first = 2 * warp; first < steps; first += 2 * warps) {
    PackedStep<Coding, kRows> own[2];
    read(first, own[0]);
    if (first + 1 < steps) read(first + 1, own[1]);
    own[0].decode(to(first));
    step_is_decoded(block, full(first));
    if (first + 1 >= steps) continue;
    own[1].decode(to(first + 1));
    step_is_decoded(block, full(first + 1));
  }
}

template <class Coding>
__device__ void decode_first(const OpeningBlock& block, int warp, int warps) {
  const OpeningPlan& plan = block.plan;
  decode_steps<Coding, kOpeningFirstRows>(
      block, plan.first_steps, warp, warps,
      [&](int step, PackedStep<Coding, kOpeningFirstRows>& packed) {
        const int unit = block.pair * kOpeningUnits;
        packed.read({block.a.gate, unit}, {block.a.up, unit},
                    block.column_of(step, plan.first_steps));
      },
      [&](int step) { return block.first(step); },
      [&](int step) { return block.barrier(kFull, step); });
}

template <class Coding>
__device__ void decode_second(const OpeningBlock& block, int warp, int warps) {
  const OpeningPlan& plan = block.plan;
  decode_steps<Coding, kOpeningSecondRows>(
      block, plan.second_steps, warp, warps,
      [&](int step, PackedStep<Coding, kOpeningSecondRows>& packed) {
        const int row = block.pair * kOpeningSecondRows;
        packed.read({block.a.down, row}, {block.a.down, row + kOpeningSecondRows / 2},
                    block.column_of(step, plan.second_steps));
      },
      [&](int step) { return block.second(step); },
      [&](int step) { return block.barrier(kSecond, step); });
}

}  // namespace glm::kernels::cuda
