// What blocks that share the positions of a token leave, and how the blocks of a cluster add that
// up through each other's shared memory (sm_90 and later; code for older devices must not call
// this).
#pragma once

#include "kernels/device/attention_partial.cuh"
#include "kernels/device/cluster.cuh"
#include "kernels/device/latent_products.cuh"

namespace glm::kernels::device::latent {

// Four 8x8 matrices, turned: lane l passes the shared address of column l%8 of matrix l/8.
__device__ inline void store_turned(std::uint32_t column, const std::uint32_t (&in)[4]) {
  asm volatile(
      "stmatrix.sync.aligned.m8n8.x4.trans.shared.b16 [%0], {%1, %2, %3, %4};\n" ::"r"(column),
      "r"(in[0]), "r"(in[1]), "r"(in[2]), "r"(in[3])
      : "memory");
}

// Leaves this block's highest scores and sums, and its values, not divided by them, where the ring
// was: as f32, or as bf16 for a cluster, whose blocks read each other's shared memory slowly.
__device__ inline void leave(Exchange& shared, unsigned char* results, bool alone, Softmax& softmax,
                             const Values& values, int warp) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int own_head = warp * 2 + lane / 16;
  if (own_head < kHeads) {
    for (int offset = 1; offset < 16; offset *= 2) {
      softmax.sum += __shfl_xor_sync(0xFFFFFFFFU, softmax.sum, offset);
    }
    if (lane % 16 == 0) shared.own[own_head] = {softmax.highest, softmax.sum};
  }
#pragma unroll
  for (int n = 0; n < kHeadTiles; ++n) {
    if (alone) {
#pragma unroll
      for (int m = 0; m < kValueTiles; ++m) {
        float* to = reinterpret_cast<float*>(results) + (n * 8 + lane % 4 * 2) * kResultStride +
                    (warp * kValueTiles + m) * 16 + lane / 4;
        to[0] = values[m][n][0];
        to[kResultStride] = values[m][n][1];
        to[8] = values[m][n][2];
        to[kResultStride + 8] = values[m][n][3];
      }
    } else {
      const std::uint32_t octets[4] = {
          bf16_pair(values[0][n][0], values[0][n][1]), bf16_pair(values[0][n][2], values[0][n][3]),
          bf16_pair(values[1][n][0], values[1][n][1]), bf16_pair(values[1][n][2], values[1][n][3])};
      store_turned(shared_address(results) +
                       static_cast<std::uint32_t>((n * 8 + lane % 8) * kResultPitch +
                                                  (warp * kValueTiles * 2 + lane / 8) * 16),
                   octets);
    }
  }
}
static_assert(kValueTiles == 2);

// Each block's share of a head: exp2(its highest - the highest of all) divided by the sum of all;
// zero if none saw anything. Returns the base-2 logarithm of the sum of thread / 16's head.
__device__ inline float share_out(Exchange& shared, int blocks) {
  const int thread = static_cast<int>(threadIdx.x);
  // A warp reads what one block says of all heads, in one piece.
  if (thread / 32 < blocks && thread % 32 < kHeads) {
    shared.merge.said[thread / 32][thread % 32] =
        load_cluster_8(address_in(shared_address(&shared.own[thread % 32]), thread / 32));
  }
  __syncthreads();  // what all blocks say
  const int head = thread / kClusterMost;
  const int block = thread % kClusterMost;
  float log_sum = -INFINITY;
  if (head < kHeads) {
    const HeadSum own = block < blocks ? shared.merge.said[block][head] : HeadSum{-INFINITY, 0};
    float highest = own.x;
#pragma unroll
    for (int offset = 1; offset < kClusterMost; offset *= 2) {
      highest = fmaxf(highest, __shfl_xor_sync(0xFFFFFFFFU, highest, offset));
    }
    const bool any = highest > -INFINITY;
    const float weight = any ? exp2_approx(own.x - highest) : 0;
    float sum = weight * own.y;
#pragma unroll
    for (int offset = 1; offset < kClusterMost; offset *= 2) {
      sum += __shfl_xor_sync(0xFFFFFFFFU, sum, offset);
    }
    shared.merge.shares[block][head] = any ? weight / sum : 0;
    if (any) log_sum = highest + log2f(sum);
  }
  __syncthreads();  // shares
  return log_sum;
}
static_assert(kHeads <= 32 && kWarps >= kClusterMost && kThreads >= kHeads * kClusterMost);

// Where sums go: to the results, or to the workspace.
struct Target {
  AttentionHeads heads;
  AttentionPartial partial;
  int token;
  int split;
  int first_head;

  __device__ int head_count() const { return min(kHeads, heads.heads - first_head); }
  __device__ void store_log_sum(float log_sum) const {
    const int head = static_cast<int>(threadIdx.x) / kClusterMost;
    if (partial.splits > 1 && cluster_rank() == 0 && head < head_count() &&
        threadIdx.x % kClusterMost == 0) {
      partial.log_sum(token, split, first_head + head) = log_sum;
    }
  }
  __device__ void store(int head, int column, const float4& sum) const {
    if (partial.splits > 1) {
      *reinterpret_cast<float4*>(partial.value(token, split, first_head + head) + column) = sum;
    } else {
      *reinterpret_cast<uint2*>(heads.result(token, first_head + head) + column) = {
          bf16_pair(sum.x, sum.y), bf16_pair(sum.z, sum.w)};
    }
  }
};

// A block that is no cluster.
__device__ inline void finish_alone(Exchange& shared, const unsigned char* results,
                                    const Target& target) {
  constexpr int kQuads = kLatent / 4;
  target.store_log_sum(share_out(shared, 1));
  for (int quad = static_cast<int>(threadIdx.x); quad < target.head_count() * kQuads;
       quad += kThreads) {
    const int head = quad / kQuads;
    const int column = quad % kQuads * 4;
    const float4 value = *reinterpret_cast<const float4*>(reinterpret_cast<const float*>(results) +
                                                          head * kResultStride + column);
    const float share = shared.merge.shares[0][head];
    target.store(head, column,
                 {value.x * share, value.y * share, value.z * share, value.w * share});
  }
}

// This block's part of what its cluster found: eight columns for up to four threads, which take
// four blocks each. They begin with their own: all at one block would wait for each other.
__device__ inline void add_up(Exchange& shared, const unsigned char* results,
                              const Target& target) {
  constexpr int kOctets = kLatent / 8;
  constexpr int kLoads = 4;  // under way together
  const int thread = static_cast<int>(threadIdx.x);
  const int rank = cluster_rank();
  const int blocks = cluster_size();
  const int lanes = max(1, blocks / kLoads);
  const int all = target.head_count() * kOctets;
  const int share = (all + blocks - 1) / blocks;
  const int end = min((rank + 1) * share, all);
  const auto block_of = [&](int i) { return (rank + thread % lanes * kLoads + i) % blocks; };
  uint4 parts[kLoads] = {};
  const auto load = [&](int octet) {
    const std::uint32_t from =
        shared_address(results) +
        static_cast<std::uint32_t>(octet / kOctets * kResultPitch + octet % kOctets * 16);
#pragma unroll
    for (int i = 0; i < kLoads; ++i) {
      if (octet < end && i < blocks) {
        parts[i] = load_cluster_16(address_in(from, block_of(i)));
      }
    }
  };
  load(rank * share + thread / lanes);
  target.store_log_sum(share_out(shared, blocks));
  for (int done = 0; done < share * lanes; done += kThreads) {
    const int octet = rank * share + (done + thread) / lanes;
    const int head = min(octet / kOctets, kHeads - 1);
    float sums[8] = {};
#pragma unroll
    for (int i = 0; i < kLoads; ++i) {
      if (i >= blocks) break;
      const float weight = shared.merge.shares[block_of(i)][head];
      const std::uint32_t pairs[4] = {parts[i].x, parts[i].y, parts[i].z, parts[i].w};
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        sums[2 * k] += weight * bf16_low(pairs[k]);
        sums[2 * k + 1] += weight * bf16_high(pairs[k]);
      }
    }
    for (int offset = 1; offset < lanes; offset *= 2) {
#pragma unroll
      for (float& sum : sums) sum += __shfl_xor_sync(0xFFFFFFFFU, sum, offset);
    }
    if (octet < end && thread % lanes == 0) {
      target.store(head, octet % kOctets * 8, {sums[0], sums[1], sums[2], sums[3]});
      target.store(head, octet % kOctets * 8 + 4, {sums[4], sums[5], sums[6], sums[7]});
    }
    load(rank * share + (done + kThreads + thread) / lanes);
  }
}

}  // namespace glm::kernels::device::latent
