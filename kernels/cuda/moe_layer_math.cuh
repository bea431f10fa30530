// Products of moe_layer.cu and moe_front.cu with slabs in shared memory, for one tile of
// activations.
//
// A lane multiplies thirty-two columns of a chunk at a time: four octets of its row of activations,
// which lie next to each other.
#pragma once

#include "kernels/cuda/bulk_math.cuh"

namespace glm::kernels::cuda {

// Two neighbouring rows in shared memory begin in different banks (kRowShift). So do octets that
// lanes of a quarter of a warp read of one, where every other eight have their neighbours
// exchanged.
__device__ inline int exchanged(int octet) {
  return octet ^ (octet / 8 % 2);
}
// The same for number `word` of a lane's octets.
__device__ inline int exchanged_word(int word) {
  return word ^ (lane_index() % 4 / 2);
}

// sums += slab * activations over every kTeamWarps-th chunk from `first` on: octet(chunk, word) are
// a lane's activations in int4_order(). Two chains of sums, as each product waits for the one
// before.
template <class Codec, class Octet>
__device__ inline void multiply_slab(const device::Weight& weight, const BulkPlan& plan,
                                     const std::uint8_t* stage, int first, int step, int chunks,
                                     const Octet& octet, float (&sums)[4]) {
  LaneRows<Codec> rows(weight, plan, stage, first);
  float back_sums[4] = {};
#pragma unroll 1
  for (int chunk = first; chunk < chunks; chunk += step * kTeamWarps) {
    const LaneChunk<Codec> w(weight, rows);
#pragma unroll
    for (int word = 0; word < 4; ++word) {
      std::uint32_t pairs[2][4];
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const std::uint32_t bits = word == 0   ? w.words[half].x
                                   : word == 1 ? w.words[half].y
                                   : word == 2 ? w.words[half].z
                                               : w.words[half].w;
#pragma unroll
        for (int i = 0; i < 4; ++i) pairs[half][i] = Codec::pair(bits, word, i, w.groups[half]);
      }
      const std::uint32_t front[4] = {pairs[0][0], pairs[1][0], pairs[0][1], pairs[1][1]};
      const std::uint32_t back[4] = {pairs[0][2], pairs[1][2], pairs[0][3], pairs[1][3]};
      const uint4 x = octet(chunk, word);
      device::mma_16x8x16(sums, front, x.x, x.y);
      device::mma_16x8x16(back_sums, back, x.z, x.w);
    }
    for (int i = 0; i < step; ++i) rows.advance();
  }
#pragma unroll
  for (int i = 0; i < 4; ++i) sums[i] += back_sums[i];
}

}  // namespace glm::kernels::cuda
