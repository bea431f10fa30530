// How the blocks of a cluster that has one tile of product_wgmma.cu, each a part of its columns,
// add up what they have summed.
#pragma once

#include "kernels/cuda/shared_loads.cuh"
#include "kernels/cuda/wgmma_stages.cuh"
#include "kernels/device/cluster.cuh"
#include "kernels/device/mma.cuh"

namespace glm::kernels::cuda {

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

// Each block has an equal part of the tile's rows of activations. What others summed of these comes
// to where its stages were, and is added in the order of blocks.
template <int kGroups, int kColumns>
class ClusterSums {
 public:
  static constexpr int kOctets = kColumns / 8;  // of rows
  // For all threads of the warpgroups that multiply.
  __device__ ClusterSums(const WgmmaPlan& plan, const Shared& shared)
      : memory_(device::shared_address(shared.memory) + threadIdx.x * kFourBytes),
        blocks_(plan.blocks),
        octets_(kOctets / plan.blocks),
        rank_(device::cluster_rank()) {}

  __device__ Tile part_of(const Tile& tile) const {
    Tile part = tile;
    const int first = rank_ * octets_ * 8;
    part.rows.first += first;
    part.rows.count = min(octets_ * 8, tile.rows.count - first);
    return part;
  }

  // Those that copy have ended, or end without waiting for anybody.
  __device__ __forceinline__ void exchange(const float (&sums)[kColumns / 2]) const {
    device::cluster_arrive_relaxed();
    device::cluster_wait();  // all stages of all blocks are used up
#pragma unroll
    for (int i = 0; i < kOctets; ++i) {
      const int to = i / octets_;
      device::store_cluster_16(device::address_in(slot(rank_, i % octets_), to),
                               {sums[4 * i], sums[4 * i + 1], sums[4 * i + 2], sums[4 * i + 3]});
    }
    device::cluster_arrive();
    device::cluster_wait();
  }

  // Of four octets of this block's rows, zero where it has no more.
  __device__ __forceinline__ void add_up(int first_octet, float (&own)[16]) const {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      float4 all = {};
      const int blocks = first_octet + i < octets_ ? blocks_ : 0;
      for (int from = 0; from < blocks; ++from) {
        const uint4 words = shared_octets(slot(from, first_octet + i));
        all.x += __uint_as_float(words.x);
        all.y += __uint_as_float(words.y);
        all.z += __uint_as_float(words.z);
        all.w += __uint_as_float(words.w);
      }
      own[4 * i] = all.x;
      own[4 * i + 1] = all.y;
      own[4 * i + 2] = all.z;
      own[4 * i + 3] = all.w;
    }
  }

 private:
  // A lane has four sums of every eight rows.
  static constexpr unsigned kFourBytes = 16;
  static constexpr unsigned kOctetBytes = kGroups * kGroupThreads * kFourBytes;

  __device__ std::uint32_t slot(int from, int octet) const {
    return memory_ + static_cast<unsigned>(from * octets_ + octet) * kOctetBytes;
  }

  std::uint32_t memory_;
  int blocks_;
  int octets_;
  int rank_;
};

#endif

}  // namespace glm::kernels::cuda
