// Blocks that run at the same time as a cluster (sm_90 and later; code for older devices must not
// call these): their barrier, and reading and writing each other's shared memory. A launch without
// clusters is one of clusters of one block. PTX manual: "barrier.cluster", "mapa", "st.async".
#pragma once

#include <cstdint>

namespace glm::kernels::device {

__device__ inline int cluster_rank() {
  unsigned rank = 0;
  asm volatile("mov.u32 %0, %%cluster_ctarank;\n" : "=r"(rank));
  return static_cast<int>(rank);
}
__device__ inline int cluster_size() {
  unsigned size = 0;
  asm volatile("mov.u32 %0, %%cluster_nctarank;\n" : "=r"(size));
  return static_cast<int>(size);
}

// By all threads of all blocks of the cluster. What threads wrote before they arrived can be read
// by those that have waited.
__device__ inline void cluster_arrive() {
  asm volatile("barrier.cluster.arrive.release.aligned;\n" ::: "memory");
}
// Where only barriers have been set up, and made known by barriers_are_set_up (bulk_copy.cuh), or
// where memory that others will fill has been read for good; never for what has been written.
__device__ inline void cluster_arrive_relaxed() {
  asm volatile("barrier.cluster.arrive.relaxed.aligned;\n" ::: "memory");
}
__device__ inline void cluster_wait() {
  asm volatile("barrier.cluster.wait.acquire.aligned;\n" ::: "memory");
}

// The same place in the shared memory of another block, for the loads and stores that follow.
__device__ inline std::uint32_t address_in(std::uint32_t shared, int rank) {
  std::uint32_t address = 0;
  asm volatile("mapa.shared::cluster.u32 %0, %1, %2;\n" : "=r"(address) : "r"(shared), "r"(rank));
  return address;
}
__device__ inline float2 load_cluster_8(std::uint32_t address) {
  float2 v = {};
  asm volatile("ld.shared::cluster.v2.f32 {%0, %1}, [%2];\n"
               : "=f"(v.x), "=f"(v.y)
               : "r"(address)
               : "memory");
  return v;
}
__device__ inline uint4 load_cluster_16(std::uint32_t address) {
  uint4 v = {};
  asm volatile("ld.shared::cluster.v4.u32 {%0, %1, %2, %3}, [%4];\n"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
               : "r"(address)
               : "memory");
  return v;
}
// To an address in another block's shared memory, as address_in says it.
__device__ inline void store_cluster_16(std::uint32_t address, const float4& v) {
  asm volatile("st.shared::cluster.v4.f32 [%0], {%1, %2, %3, %4};\n" ::"r"(address), "f"(v.x),
               "f"(v.y), "f"(v.z), "f"(v.w)
               : "memory");
}

// Sixteen bytes, eight, or four, to the shared memory of a block of this cluster; both addresses
// are of that block (address_in). They count as bytes of a phase of its barrier (bulk_copy.cuh).
__device__ inline void send_16(std::uint32_t to, const uint4& v, std::uint32_t barrier) {
  asm volatile(
      "st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.v4.b32 "
      "[%0], {%1, %2, %3, %4}, [%5];\n" ::"r"(to),
      "r"(v.x), "r"(v.y), "r"(v.z), "r"(v.w), "r"(barrier)
      : "memory");
}
__device__ inline void send_8(std::uint32_t to, const float2& v, std::uint32_t barrier) {
  asm volatile(
      "st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.v2.b32 [%0], {%1, %2}, [%3];\n" ::
          "r"(to),
      "r"(__float_as_uint(v.x)), "r"(__float_as_uint(v.y)), "r"(barrier)
      : "memory");
}

__device__ inline void send_4(std::uint32_t to, std::uint32_t v, std::uint32_t barrier) {
  asm volatile(
      "st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.b32 [%0], %1, [%2];\n" ::"r"(to),
      "r"(v), "r"(barrier)
      : "memory");
}

}  // namespace glm::kernels::device
