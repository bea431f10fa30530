// The warps of a block of product_groups.cu that compute (groups_units.cuh).
#pragma once

#include "kernels/cuda/bulk_codecs.cuh"
#include "kernels/cuda/bulk_math.cuh"
#include "kernels/cuda/bulk_out.cuh"
#include "kernels/cuda/groups_fp4.cuh"
#include "kernels/cuda/groups_fp8.cuh"
#include "kernels/cuda/groups_math.cuh"
#include "kernels/cuda/groups_units.cuh"

namespace glm::kernels::cuda {

// Goes through a team's slabs of a share, entry by entry. `begin(entry, rows)` is called where an
// entry's rows are there, then `slab(number)` for each slab of it.
template <class Begin, class Slab>
__device__ void go_through(const GroupsProduct& p, const GroupsPlan& plan, std::uint8_t* memory,
                           const GroupsShare& share, int team, RowTurn& turn, const Begin& begin,
                           const Slab& slab) {
  int number = share.slab + share.before(team);
  int first = share.slab;
  int entry = share.entry;
#pragma unroll 1
  for (int left = share.count; left > 0; ++entry) {
    const int end = min(first + left, p.slabs);
    const RowBuffer rows(plan, memory, turn.buffer);
    device::barrier_wait(rows.full, turn.parity);
    begin(entry, rows);
#pragma unroll 1
    for (; number < end; number += kGroupsTeams) slab(number);
    __syncwarp();  // all lanes have read the rows
    if (lane_index() == 0) device::barrier_arrive(rows.empty);
    turn.advance();
    number -= p.slabs;
    left -= end - first;
    first = 0;
  }
}

// The number stays in its register: it is not found again from what it was made of.
__device__ inline void keep(std::uint32_t& number) {
  asm volatile("" : "+r"(number));
}

// A warp that multiplies.
template <class Codec>
class GroupsWorker {
 public:
  __device__ GroupsWorker(const GroupsPlan& plan, std::uint8_t* memory, const int* ends, int warp)
      : plan_(plan),
        memory_(memory),
        ends_(ends),
        turn_{.buffers = plan.buffers},
        team_(warp / kTeamWarps),
        warp_(warp % kTeamWarps),
        ring_(plan, memory, team_),
        sums_(plan, memory, team_),
        lane_(warp_),
        activations_at_(static_cast<unsigned>(warp_) * Codec::kChunkActivations +
                        static_cast<unsigned>(lane_index()) * 16) {
    keep(activations_at_);
  }

  __device__ void work(const GroupsProduct& p, const GroupsShare& share) {
    const int parts = p.parts;
    const int own = (p.chunks - warp_ + kTeamWarps - 1) / kTeamWarps;  // the last may be without
    std::uint32_t x = 0;
    int expert = 0;
    go_through(
        p, plan_, memory_, share, team_, turn_,
        [&](int entry, const RowBuffer& rows) {
          x = device::shared_address(rows.activations) + activations_at_;
          keep(x);
          if constexpr (Codec::kSlabScales) {
            expert = expert_of(entry, ends_, static_cast<int>(p.a.groups));
          }
        },
        [&](int slab) {
          typename Codec::SlabScales scales;
          if constexpr (Codec::kSlabScales) scales.read(p.a, expert, slab, warp_);
          work_on_slab(parts, own, x, scales);
        });
  }

 private:
  // With chunks in `own` of a slab's parts.
  __device__ void work_on_slab(int parts, int own, std::uint32_t x,
                               const typename Codec::SlabScales& scales);

  const GroupsPlan& plan_;
  std::uint8_t* memory_;
  const int* ends_;
  RowTurn turn_;
  int team_;
  int warp_;  // of the team
  GroupsRing ring_;
  GroupsSums sums_;
  GroupsLane lane_;
  unsigned activations_at_;  // in a buffer
};

template <class Codec>
__device__ void GroupsWorker<Codec>::work_on_slab(int parts, int own, std::uint32_t x,
                                                  const typename Codec::SlabScales& scales) {
  float sums[2][4] = {};
#pragma unroll 1
  for (int part = 0; part < parts; ++part) {
    device::barrier_wait(ring_.full(), ring_.parity());
    typename Codec::Held held;
    Codec::load(ring_.place(), lane_, held);
    // Matrix loads keep the lanes together, so the compiler makes nothing of this meeting. What
    // compute-sanitizer puts around every load lets them fall apart: under it a stage may be filled
    // again before all have read it, and results differ that never do without it.
    __syncwarp();  // all lanes have read the stage
    device::barrier_arrive_as_one(ring_.empty());
    ring_.advance();
    if (part < own) Codec::multiply(held, x, scales, part, sums);
    x += kTeamWarps * Codec::kChunkActivations;
  }
  sums_.leave(warp_, sums);
}

// The warp of a team that adds what its workers have, and stores it.
template <class Codec>
class GroupsFinisher {
 public:
  __device__ GroupsFinisher(const GroupsPlan& plan, std::uint8_t* memory, const int* ends, int team)
      : plan_(plan),
        memory_(memory),
        ends_(ends),
        turn_{.buffers = plan.buffers},
        team_(team),
        sums_(plan, memory, team) {}

  __device__ void work(const GroupsProduct& p, const GroupsShare& share) {
    TileOut out;
    float units[2][2];  // of this lane's rows
    go_through(
        p, plan_, memory_, share, team_, turn_,
        [&](int entry, const RowBuffer& rows) {
          out = TileOut(p.a, rows.rows, *rows.count);
          find_units(p.a, entry, rows, units);
        },
        [&](int slab) {
          float total[2][4];
          sums_.take(total);
          store(p.a, slab, out, units, total);
        });
  }

 private:
  __device__ void find_units(const Product& a, int entry, const RowBuffer& rows,
                             float (&units)[2][2]) const {
    const int expert = expert_of(entry, ends_, static_cast<int>(a.groups));
    const float of_weights[2] = {Codec::unit(device::weight_at(a.weight, expert)),
                                 a.gated ? Codec::unit(device::weight_at(a.up, expert)) : 1.0F};
#pragma unroll
    for (int e = 0; e < 2; ++e) {
      const float of_row = rows.units[2 * (lane_index() % 4) + e];
      units[e][0] = of_weights[0] * of_row;
      units[e][1] = of_weights[1] * of_row;
    }
  }
  __device__ static void store(const Product& a, int slab, const TileOut& out,
                               const float (&units)[2][2], const float (&total)[2][4]);

  const GroupsPlan& plan_;
  std::uint8_t* memory_;
  const int* ends_;
  RowTurn turn_;
  int team_;
  GroupsSums sums_;
};

template <class Codec>
__device__ void GroupsFinisher<Codec>::store(const Product& a, int slab, const TileOut& out,
                                             const float (&units)[2][2],
                                             const float (&total)[2][4]) {
  const int row = lane_index() / 4;
#pragma unroll
  for (int e = 0; e < 2; ++e) {
    if (out.to[e] == nullptr) continue;
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const float upper = total[0][2 * i + e] * units[e][0];
      if (a.gated) {
        out.put(a, e, slab * kGroupsHalfRows + row + 8 * i,
                out.factor[e] * gated(upper, total[1][2 * i + e] * units[e][1]));
      } else {
        const float lower = total[1][2 * i + e] * units[e][0];
        const int output = slab * kGroupsSlabRows + row + 8 * i;
        out.put(a, e, output, out.factor[e] * upper);
        out.put(a, e, output + kGroupsHalfRows, out.factor[e] * lower);
      }
    }
  }
}

}  // namespace glm::kernels::cuda
