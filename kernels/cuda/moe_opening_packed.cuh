// The shared expert of moe_opening.cu in nvfp4: weights are read and decoded to where copies would
// bring those in bf16, before the kernel in front has ended (sm_90a only). What is multiplied with
// them waits for the same barriers.
#pragma once

#include "kernels/cuda/moe_opening_block.cuh"
#include "kernels/device/fp4.cuh"

namespace glm::kernels::cuda {

// Of both halves, what sums are to be multiplied with.
struct OpeningUnits {
  device::Fp4Unit gate;
  device::Fp4Unit up;
  device::Fp4Unit down;
};
__device__ inline OpeningUnits opening_units(const OpeningArgs& a) {
  if (!a.packed) return {};
  return {device::Fp4Unit(a.gate), device::Fp4Unit(a.up), device::Fp4Unit(a.down)};
}

// What a warp has of kRows rows of a step: each lane half of every sixteenth.
template <int kRows>
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
      const device::Weight& w = from.weight;
      const std::int64_t at = from.row + static_cast<int>(lane) / 2 + i % (kItems / 2) * 16;
      words_[i] = __ldg(reinterpret_cast<const uint4*>(w.data + at * w.row_bytes + c / 2));
      scales_[i] = __ldg(reinterpret_cast<const std::uint16_t*>(
          static_cast<const std::uint8_t*>(w.scales) + at * w.groups + c / 16));
    }
  }
  // As copies lay rows of 64 columns.
  __device__ void decode(std::uint32_t to) const {
    const unsigned lane = threadIdx.x % device::kWarpThreads;
#pragma unroll
    for (unsigned i = 0; i < kItems; ++i) {
      const __nv_bfloat162 scales =
          device::fp4_row_scales(device::ScaleType::e4m3, std::uint32_t{scales_[i]});
      const std::uint32_t words[4] = {words_[i].x, words_[i].y, words_[i].z, words_[i].w};
      const unsigned row = lane / 2 + i * 16;
#pragma unroll
      for (unsigned word = 0; word < 4; ++word) {
        const uint4 octet = device::fp4_word(
            words[word], word < 2 ? __low2bfloat16(scales) : __high2bfloat16(scales));
        const unsigned piece = lane % 2 * 4 + word;
        store(to + row * (kOpeningDepth * 2) + (piece ^ row % 8) * 16, octet);
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
  uint4 words_[kItems];
  std::uint16_t scales_[kItems];
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
template <int kRows, class Read, class To, class Full>
__device__ void decode_steps(const OpeningBlock& block, int steps, int warp, int warps,
                             const Read& read, const To& to, const Full& full) {
#pragma unroll 1
  for (int first = 2 * warp; first < steps; first += 2 * warps) {
    PackedStep<kRows> own[2];
    read(first, own[0]);
    if (first + 1 < steps) read(first + 1, own[1]);
    own[0].decode(to(first));
    step_is_decoded(block, full(first));
    if (first + 1 >= steps) continue;
    own[1].decode(to(first + 1));
    step_is_decoded(block, full(first + 1));
  }
}

__device__ inline void decode_first(const OpeningBlock& block, int warp, int warps) {
  const OpeningPlan& plan = block.plan;
  decode_steps<kOpeningFirstRows>(
      block, plan.first_steps, warp, warps,
      [&](int step, PackedStep<kOpeningFirstRows>& packed) {
        const int unit = block.pair * kOpeningUnits;
        packed.read({block.a.gate, unit}, {block.a.up, unit},
                    block.column_of(step, plan.first_steps));
      },
      [&](int step) { return block.first(step); },
      [&](int step) { return block.barrier(kFull, step); });
}

__device__ inline void decode_second(const OpeningBlock& block, int warp, int warps) {
  const OpeningPlan& plan = block.plan;
  decode_steps<kOpeningSecondRows>(
      block, plan.second_steps, warp, warps,
      [&](int step, PackedStep<kOpeningSecondRows>& packed) {
        const int row = block.pair * kOpeningSecondRows;
        packed.read({block.a.down, row}, {block.a.down, row + kOpeningSecondRows / 2},
                    block.column_of(step, plan.second_steps));
      },
      [&](int step) { return block.second(step); },
      [&](int step) { return block.barrier(kSecond, step); });
}

}  // namespace glm::kernels::cuda
