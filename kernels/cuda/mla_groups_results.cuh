// What the blocks of mla_absorbed_groups.cu found: left in shared memory, sent to the other blocks
// of a cluster, and added up.
#pragma once

#include "kernels/cuda/mla_groups_block.cuh"
#include "kernels/device/cluster.cuh"

namespace glm::kernels::cuda::mla_groups {

// By the first group: of all heads the highest score and the sum of the weights.
__device__ inline void leave_sums(Meeting& meeting, groups::Softmax& state) {
  constexpr int kBarrier = 1;
  const int lane = lane_of();
  const int warp = static_cast<int>(threadIdx.x) / 32;
  groups::add_lanes(state);
  if (lane < 4) {
#pragma unroll
    for (int j = 0; j < groups::kHeadTiles; ++j) {
      *reinterpret_cast<float2*>(&meeting.sums[warp][8 * j + 2 * lane]) = {state.sum[j][0],
                                                                           state.sum[j][1]};
      if (warp == 0) {
        meeting.own[8 * j + 2 * lane].x = state.highest[j][0];
        meeting.own[8 * j + 2 * lane + 1].x = state.highest[j][1];
      }
    }
  }
  device::sync_threads(kBarrier, kGroupThreads);
  const auto head = static_cast<int>(threadIdx.x);
  if (head < kHeads) {
    meeting.own[head].y = (meeting.sums[0][head] + meeting.sums[1][head]) +
                          (meeting.sums[2][head] + meeting.sums[3][head]);
  }
}

// Values divided by the sums of their weights, as bf16 rows of kResultPitch bytes.
__device__ inline void leave_values(const Block& block, const Meeting& meeting, int group,
                                    groups::Sums (&values)[kValueBoxes]) {
  const int lane = lane_of();
  const int warp = static_cast<int>(threadIdx.x) / 32 % groups::kGroupWarps;
  const int octet = (group * kValueBoxes + lane / 16) * 8 + warp * 2 + lane / 8 % 2;
  const std::uint32_t to =
      block.memory + static_cast<unsigned>(lane % 8 * groups::kResultPitch + octet * 16);
#pragma unroll
  for (int j = 0; j < groups::kHeadTiles; ++j) {
    // A block that saw nothing has zeros.
    const auto share_of = [&](int head) {
      const float sum = meeting.own[head].y;
      return sum > 0 ? 1.0F / sum : 0.0F;
    };
    const int head = 8 * j + lane % 4 * 2;
    const float2 share = {share_of(head), share_of(head + 1)};
#pragma unroll
    for (int box = 0; box < kValueBoxes; box += 2) {
      std::uint32_t octets[4];
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const float* v = values[box + i] + 4 * j;
        octets[2 * i] = device::bf16_pair(v[0] * share.x, v[1] * share.y);
        octets[2 * i + 1] = device::bf16_pair(v[2] * share.x, v[3] * share.y);
      }
      device::store_matrices_transposed(
          to + static_cast<unsigned>(8 * j * groups::kResultPitch + box * 8 * 16), octets);
    }
  }
}

// How a cluster shares out what there is to add up: so many octets for a block.
struct Shares {
  int blocks;
  int rank;
  int all;
  int each;

  __device__ Shares(int of_blocks, int heads)
      : blocks(of_blocks),
        rank(device::cluster_rank()),
        all(heads * kOctets),
        each((all + blocks - 1) / blocks) {}
  __device__ int first() const { return min(rank * each, all); }
  __device__ int own() const { return min(each, all - first()); }
  // What others send to this block.
  __device__ unsigned bytes() const {
    return static_cast<unsigned>((blocks - 1) *
                                 (own() * 16 + kHeads * static_cast<int>(sizeof(HeadSum))));
  }
};

__device__ inline std::uint32_t result_at(const Block& block, int octet) {
  return block.memory +
         static_cast<unsigned>(octet / kOctets * groups::kResultPitch + octet % kOctets * 16);
}
__device__ inline std::uint32_t received_at(const Block& block, const Shares& shares, int from,
                                            int item) {
  return block.memory + static_cast<unsigned>(kReceivedAt + (from * shares.each + item) * 16);
}
__device__ inline uint4 shared_octet(std::uint32_t address) {
  uint4 octet;
  asm volatile("ld.shared.v4.u32 {%0, %1, %2, %3}, [%4];\n"
               : "=r"(octet.x), "=r"(octet.y), "=r"(octet.z), "=r"(octet.w)
               : "r"(address)
               : "memory");
  return octet;
}

// To each of the other blocks what it adds up, and all sums.
__device__ inline void send_results(const Block& block, const Shares& shares, Meeting& meeting) {
  const std::uint32_t received = device::shared_address(&block.shared.received);
#pragma unroll 1
  for (int octet = static_cast<int>(threadIdx.x); octet < shares.all; octet += kThreads) {
    const int to = octet / shares.each;
    if (to == shares.rank) continue;
    device::send_16(
        device::address_in(received_at(block, shares, shares.rank, octet - to * shares.each), to),
        shared_octet(result_at(block, octet)), device::address_in(received, to));
  }
#pragma unroll 1
  for (int at = static_cast<int>(threadIdx.x); at < shares.blocks * kHeads; at += kThreads) {
    const int to = at / kHeads;
    const int head = at % kHeads;
    if (to == shares.rank) continue;
    device::send_8(device::address_in(device::shared_address(&meeting.said[shares.rank][head]), to),
                   meeting.own[head], device::address_in(received, to));
  }
}

// This block's part of what its cluster found, in the order of blocks.
__device__ inline void add_up(const Block& block, const Shares& shares, const Meeting& meeting,
                              const device::AttentionHeads& heads, int token, int first_head) {
#pragma unroll 1
  for (int item = static_cast<int>(threadIdx.x); item < shares.own(); item += kThreads) {
    const int octet = shares.first() + item;
    const int head = octet / kOctets;
    uint4 result = shared_octet(result_at(block, octet));
    if (shares.blocks > 1) {
      const auto said = [&](int b) {
        return b == shares.rank ? meeting.own[head] : meeting.said[b][head];
      };
      float highest = -INFINITY;
#pragma unroll 1
      for (int b = 0; b < shares.blocks; ++b) highest = fmaxf(highest, said(b).x);
      float total = 0;
      float sums[8] = {};
#pragma unroll 1
      for (int b = 0; b < shares.blocks; ++b) {
        const float weight = device::exp2_approx(said(b).x - highest) * said(b).y;
        total += weight;
        const uint4 part =
            b == shares.rank ? result : shared_octet(received_at(block, shares, b, item));
        const std::uint32_t pairs[4] = {part.x, part.y, part.z, part.w};
#pragma unroll
        for (int k = 0; k < 4; ++k) {
          sums[2 * k] += weight * device::bf16_low(pairs[k]);
          sums[2 * k + 1] += weight * device::bf16_high(pairs[k]);
        }
      }
      const float share = 1.0F / total;
      result = {device::bf16_pair(sums[0] * share, sums[1] * share),
                device::bf16_pair(sums[2] * share, sums[3] * share),
                device::bf16_pair(sums[4] * share, sums[5] * share),
                device::bf16_pair(sums[6] * share, sums[7] * share)};
    }
    *reinterpret_cast<uint4*>(heads.result(token, first_head + head) + octet % kOctets * 8) =
        result;
  }
}

}  // namespace glm::kernels::cuda::mla_groups
