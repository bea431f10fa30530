// The warps of a block of product_groups.cu that bring things to shared memory (groups_units.cuh).
#pragma once

#include "kernels/cuda/groups_entries.cuh"
#include "kernels/cuda/groups_units.cuh"
#include "kernels/device/tensor_copy.cuh"

namespace glm::kernels::cuda {

// The warp that fills the stages of a team, by four lanes, one for each map. In front of the first
// rows there shall be few weights: behind the first part it waits at the barrier `first_rows` until
// each loader has read one of them, unless that is 0, as it is from then on.
template <class Codec>
__device__ void fill_stages(const GroupsProduct& p, const GroupsShare& share, const int* ends,
                            int team, std::uint32_t& first_rows, GroupsRing& ring) {
  const int lane = lane_index();
  const int half = lane % 2;
  const bool data = lane % 4 < 2;
  const CUtensorMap* map = &p.maps.of[lane % 4];
  const std::uint64_t policy = device::read_once_policy();
  const unsigned to = static_cast<unsigned>(half) * (data ? kGroupsHalfData : kGroupsHalfScales) +
                      (data ? 0 : kGroupsScalesAt);
  const int step = p.a.gated ? kGroupsHalfRows : kGroupsSlabRows;
  const int more = p.a.gated ? 0 : half * kGroupsHalfRows;
  int entry = share.entry;
  int slab = share.slab + share.before(team);
  int expert = -1;
#pragma unroll 1
  for (int at = share.before(team); at < share.count; at += kGroupsTeams, slab += kGroupsTeams) {
    for (; slab >= p.slabs; slab -= p.slabs) {
      ++entry;
      expert = -1;
    }
    if (expert < 0) expert = expert_of(entry, ends, static_cast<int>(p.a.groups));
    const int row = slab * step + more;
#pragma unroll 1
    for (int part = 0; part < p.parts; ++part) {
      if (first_rows != 0 && part == 1) {
        device::barrier_wait(first_rows, 0);
        first_rows = 0;
      }
      // Of the round before: nothing to wait for in the first.
      device::barrier_wait(ring.empty(), ring.parity() ^ 1U);
      if (lane == 0) device::barrier_arrive_expecting(ring.full(), Codec::kStageBytes);
      __syncwarp();  // bytes are announced
      if (lane < Codec::kMaps) {
        device::copy_box(ring.place() + to, map,
                         {.first = data ? 0 : kGroupsPartScales * part,
                          .second = row,
                          .third = data ? kGroupsPart / kGroupsBox * part : 0,
                          .outer = expert},
                         ring.full(), policy);
      }
      ring.advance();
    }
  }
}

// One of the warps that bring rows of entries to shared memory.
template <class Codec>
class GroupsLoader {
 public:
  __device__ GroupsLoader(const GroupsPlan& plan, std::uint8_t* memory,
                          const GroupsEntries& entries, int warp)
      : plan_(plan),
        memory_(memory),
        entries_(entries),
        warp_(warp),
        turn_{.buffers = plan.buffers} {}

  // First of all.
  __device__ void sort_rows(const Product& a) const {
    entries_.sort(static_cast<int>(a.rows), warp_ * device::kWarpThreads + lane_index(),
                  kGroupsLoaders * device::kWarpThreads);
  }
  __device__ void load(const GroupsProduct& p, const GroupsShare& share);

 private:
  __device__ void load_row(const Product& a, const RowBuffer& to, int place);
  // The first row, if this warp has one, has been read: weights may follow.
  __device__ void have_read();

  const GroupsPlan& plan_;
  std::uint8_t* memory_;
  const GroupsEntries& entries_;
  int warp_;
  RowTurn turn_;
  bool has_read_ = false;
};

template <class Codec>
__device__ void GroupsLoader<Codec>::have_read() {
  if (!has_read_ && lane_index() == 0) {
    device::barrier_arrive(Once(plan_, memory_).first_rows);
  }
  has_read_ = true;
}

template <class Codec>
__device__ void GroupsLoader<Codec>::load_row(const Product& a, const RowBuffer& to, int place) {
  const auto row = static_cast<unsigned>(to.rows[place]) / static_cast<unsigned>(a.x_divisor);
  const auto* x =
      reinterpret_cast<const uint4*>(static_cast<const __nv_bfloat16*>(a.x) + row * a.x_stride);
  Codec::load_row(a, x, to.activations, to.units, place, [&] { have_read(); });
}

template <class Codec>
__device__ void GroupsLoader<Codec>::load(const GroupsProduct& p, const GroupsShare& share) {
  int first = share.slab;
  int entry = share.entry;
#pragma unroll 1
  for (int left = share.count; left > 0; ++entry) {
    const int expert = expert_of(entry, entries_.ends, static_cast<int>(p.a.groups));
    const RowBuffer to(plan_, memory_, turn_.buffer);
    // Of the round before: nothing to wait for in the first.
    device::barrier_wait(to.empty, turn_.parity ^ 1U);
    const int count = entries_.note_rows(p.a, entry, expert, warp_, kGroupsLoaders, to.rows);
    if (warp_ == 0 && lane_index() == 0) *to.count = count;
    __syncwarp();  // the rows of this warp are known
    for (int place = warp_; place < count; place += kGroupsLoaders) load_row(p.a, to, place);
    have_read();
    __syncwarp();  // and there
    if (lane_index() == 0) device::barrier_arrive(to.full);
    turn_.advance();
    left -= p.slabs - first;
    first = 0;
  }
}

}  // namespace glm::kernels::cuda
