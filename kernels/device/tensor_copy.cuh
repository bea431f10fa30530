// Copies of boxes of a tensor in memory to shared memory (sm_90 and later; code for older devices
// must not call this). PTX manual: "cp.async.bulk.tensor".
#pragma once

#include <cuda.h>

#include <cstdint>

namespace glm::kernels::device {

// First column, and first index of the two outer axes.
struct BoxAt {
  int column;
  int middle;
  int outer;
};

// Before the first copy by it, which would have to wait for the map.
__device__ inline void prefetch_map(const CUtensorMap& map) {
  asm volatile("prefetch.tensormap [%0];\n" ::"l"(&map) : "memory");
}

// By one thread. The barrier must have been told of the bytes of a whole box; what lies outside the
// tensor arrives as zeros.
__device__ inline void copy_box(std::uint32_t shared, const CUtensorMap& map, const BoxAt& at,
                                std::uint32_t barrier) {
  asm volatile(
      "cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes "
      "[%0], [%1, {%2, %3, %4}], [%5];\n" ::"r"(shared),
      "l"(&map), "r"(at.column), "r"(at.middle), "r"(at.outer), "r"(barrier)
      : "memory");
}

// With a policy of bulk_copy.cuh.
__device__ inline void copy_box(std::uint32_t shared, const CUtensorMap& map, const BoxAt& at,
                                std::uint32_t barrier, std::uint64_t policy) {
  asm volatile(
      "cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes"
      ".L2::cache_hint [%0], [%1, {%2, %3, %4}], [%5], %6;\n" ::"r"(shared),
      "l"(&map), "r"(at.column), "r"(at.middle), "r"(at.outer), "r"(barrier), "l"(policy)
      : "memory");
}

// The same to several blocks of the cluster, those whose ranks are bits of `blocks`: to the same
// place in the shared memory of each, and told to the same barrier of each.
__device__ inline void copy_box_to_blocks(std::uint32_t shared, const CUtensorMap& map,
                                          const BoxAt& at, std::uint32_t barrier, unsigned blocks) {
  asm volatile(
      "cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes"
      ".multicast::cluster [%0], [%1, {%2, %3, %4}], [%5], %6;\n" ::"r"(shared),
      "l"(&map), "r"(at.column), "r"(at.middle), "r"(at.outer), "r"(barrier),
      "h"(static_cast<std::uint16_t>(blocks))
      : "memory");
}

// Of a tensor with four axes, and with a policy of bulk_copy.cuh.
struct BoxAt4 {
  int first;
  int second;
  int third;
  int outer;
};
__device__ inline void copy_box(std::uint32_t shared, const CUtensorMap* map, const BoxAt4& at,
                                std::uint32_t barrier, std::uint64_t policy) {
  asm volatile(
      "cp.async.bulk.tensor.4d.shared::cluster.global.tile.mbarrier::complete_tx::bytes"
      ".L2::cache_hint [%0], [%1, {%2, %3, %4, %5}], [%6], %7;\n" ::"r"(shared),
      "l"(map), "r"(at.first), "r"(at.second), "r"(at.third), "r"(at.outer), "r"(barrier),
      "l"(policy)
      : "memory");
}

// And with five axes.
struct BoxAt5 {
  int column;
  int second;
  int third;
  int fourth;
  int outer;
};
__device__ inline void copy_box_of_five(std::uint32_t shared, const CUtensorMap* map,
                                        const BoxAt5& at, std::uint32_t barrier,
                                        std::uint64_t policy) {
  asm volatile(
      "cp.async.bulk.tensor.5d.shared::cluster.global.tile.mbarrier::complete_tx::bytes"
      ".L2::cache_hint [%0], [%1, {%2, %3, %4, %5, %6}], [%7], %8;\n" ::"r"(shared),
      "l"(map), "r"(at.column), "r"(at.second), "r"(at.third), "r"(at.fourth), "r"(at.outer),
      "r"(barrier), "l"(policy)
      : "memory");
}

}  // namespace glm::kernels::device
