// The warps of moe_columns.cu that multiply, up to what is between the halves; the rest is in
// moe_columns_second_half.cuh. Each has a chunk of the columns of every row, and leaves its sums in
// shared memory; those of all warps are added in their order.
#pragma once

#include "kernels/cuda/moe_columns_block.cuh"
#include "kernels/cuda/moe_columns_math.cuh"

namespace glm::kernels::cuda {

template <class Codec>
class ColumnsWorker {
 public:
  __device__ explicit ColumnsWorker(const ColumnsBlock& block)
      : b_(block),
        r_(block.routing),
        lane_(lane_index()),
        warp_(warp_index()),
        next_{.stages = block.plan.stages} {}

  // What depends on nothing, to the second-level cache.
  __device__ static void prepare(const ColumnsBlock& block) {
    constexpr int kLine = 8;  // octets
    const int line = static_cast<int>(threadIdx.x) * kLine;
    if (block.a.norm == nullptr || line >= octets(block.a.inner.inputs)) return;
    device::prefetch(reinterpret_cast<const uint4*>(block.a.norm) + line);
  }
  __device__ void run() {
    load_activations();
    workers_find_set_up();  // and activations are there
    shared_first_half();
    first_halves();
    second_halves();
  }

 private:
  using Activations = typename Codec::Activations;
  // Of a gated slab, what sums are multiplied with.
  struct Units {
    decltype(Codec::unit(device::Weight())) gate;
    decltype(Codec::unit(device::Weight())) up;

    __device__ Units(const device::Weight& of_gate, const device::Weight& of_up)
        : gate(Codec::unit(of_gate)), up(Codec::unit(of_up)) {}
  };
  static constexpr int kNoChunk = -1;

  __device__ static int octets(std::int64_t columns) { return static_cast<int>(columns) / 8; }
  __device__ bool has_columns(std::int64_t inputs) const { return warp_ * kChunk < inputs; }
  __device__ uint4* activations() const { return reinterpret_cast<uint4*>(b_.at(0)); }
  __device__ float* sums() const { return reinterpret_cast<float*>(b_.at(b_.plan.sums_at)); }
  static constexpr int kSlabSums = kSlabRows * kSumsPitch;
  // Of second halves: of the shared expert, and then of the others.
  __device__ float* outputs() const { return reinterpret_cast<float*>(b_.at(b_.plan.outputs_at)); }
  __device__ const std::uint8_t* stage(const Ring& at) const {
    return b_.at(b_.plan.stages_at + static_cast<unsigned>(at.stage) * b_.plan.stage);
  }
  __device__ void wait_for(const Ring& at) const {
    device::barrier_wait(b_.full(at.stage), at.parity);
  }
  // The next stages may be filled again.
  __device__ void leave(int items) {
    __syncwarp();  // all lanes have read them
    if (lane_ < items) device::barrier_arrive(b_.empty(next_.after(lane_).stage));
    next_ = next_.after(items);
  }
  // Of a row that all warps have left their sums of.
  __device__ static float sum_of(const float* row) {
    float sum = 0;
#pragma unroll
    for (int w = 0; w < kColumnWarps; ++w) sum += row[w];
    return sum;
  }
  // What lane ^ 1 has of the same sums.
  __device__ static void add_neighbours(float (&rows)[2]) {
    if constexpr (Codec::kParted) {
#pragma unroll
      for (float& row : rows) row += __shfl_xor_sync(kFullWarp, row, 1);
    }
  }
  // This warp's sums of its rows, times `unit`.
  __device__ void leave_sums(const float (&rows)[2], float* slab, float unit = 1) const {
    if (lane_ % 4 != 0) return;
    float* to = slab + lane_ / 4 * kSumsPitch + warp_;
    to[0] = rows[0] * unit;
    to[kSlabRows / 2 * kSumsPitch] = rows[1] * unit;
  }
  // What sums of a chunk are to be multiplied with.
  __device__ static float unit_of(const float* of_two, int chunk) {
    return Codec::kHalf && chunk != kNoChunk ? of_two[chunk / 2] : 1.0F;
  }

  __device__ void load_activations() const;
  __device__ void load_plain(const uint4* row, std::int64_t inputs, uint4 (&x)[4]) const;
  __device__ void multiply_shared(std::int64_t inputs, const uint4 (&x)[4], float* to);
  __device__ void multiply_coded(const BulkPlan& plan, const Activations& x, int chunk, float* to,
                                 float unit);
  __device__ void multiply_shared_first_half(int slabs);
  __device__ float gated_sum(const float* slab, const Units& units) const;
  __device__ void shared_first_half();
  __device__ Activations load_chunk(const uint4* row, int chunk) const;
  __device__ void store_halves(const Share& share, const Units& units) const;
  __device__ void first_halves();
  __device__ void load_halves() const;
  __device__ void second_half_of_experts(bool rehearsed);
  __device__ void second_half_of_shared();
  __device__ void store_outputs(int slab, float unit) const;
  __device__ void second_halves();

  const ColumnsBlock& b_;
  ColumnsRouting& r_;
  int lane_;
  int warp_;
  Ring next_;
};

// In int4_order(). Of a norm, its weight is multiplied here; what is the same for all columns is
// left to the sums.
template <class Codec>
__device__ void ColumnsWorker<Codec>::load_activations() const {
  const MoeArgs& a = b_.a;
  const int row_octets = octets(a.inner.inputs);
  const int octet = static_cast<int>(threadIdx.x);
  if (octet - lane_ >= row_octets) return;  // a warp has two chunks, or none
  const bool is_there = octet < row_octets;
  uint4 x = {};
  if (is_there) {
    x = __ldcg(static_cast<const uint4*>(a.inner.x) + octet);
    if (a.norm != nullptr) {
      x = device::octet_product(x, __ldg(reinterpret_cast<const uint4*>(a.norm) + octet));
    }
  }
  if constexpr (Codec::kHalf) {
    x = half_chunks<false>(x, r_.x_units + warp_);
  } else {
    x = device::int4_order(x);
  }
  if (is_there) activations()[octet] = x;
}

// This lane's octets of this warp's chunk, as multiply_plain() takes them.
template <class Codec>
__device__ void ColumnsWorker<Codec>::load_plain(const uint4* row, std::int64_t inputs,
                                                 uint4 (&x)[4]) const {
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    x[i] = has_columns(inputs) ? row[warp_ * kOctetsPerChunk + lane_ % 4 * 4 + plain_word(i)]
                               : uint4{};
  }
}

// A slab of the shared expert, which are the next four items, times this warp's columns: sums to
// `to`.
template <class Codec>
__device__ void ColumnsWorker<Codec>::multiply_shared(std::int64_t inputs, const uint4 (&x)[4],
                                                      float* to) {
  const int tile_row = lane_ / 4;
  const std::uint8_t* rows[2];
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    rows[half] = stage(next_.after(2 * half + tile_row % 2)) + tile_row % 2 * kQuadShift +
                 tile_row / 2 * static_cast<int>(inputs) * 2 + warp_ * (kChunk * 2) +
                 lane_ % 4 * 64;
  }
#pragma unroll 1
  for (int quad = 0; quad < kQuads; ++quad) wait_for(next_.after(quad));
  float all[4] = {};
  if (has_columns(inputs)) multiply_plain(rows, x, all);
  leave(kQuads);
  leave_sums({all[0], all[2]}, to);  // all columns of the tile are the same
}

// The same of one that is coded, the next item.
template <class Codec>
__device__ void ColumnsWorker<Codec>::multiply_coded(const BulkPlan& plan, const Activations& x,
                                                     int chunk, float* to, float unit) {
  wait_for(next_);
  float rows[2] = {};
  if (chunk != kNoChunk) {
    Codec::multiply(plan, stage(next_), Codec::groups_at(plan, chunk), x, rows);
  }
  leave(1);
  add_neighbours(rows);
  leave_sums(rows, to, unit);
}

// Of a slab of first halves: for tile row lane % 16, what is between the halves.
template <class Codec>
__device__ float ColumnsWorker<Codec>::gated_sum(const float* slab, const Units& units) const {
  const float* row = slab + lane_ % kSlabRows * kSumsPitch;
  const float of_gate = units.gate;
  const float of_up = units.up;
  const float unit = lane_ % kSlabRows < kSlabRows / 2 ? of_gate : of_up;
  const float sum = r_.scale * unit * sum_of(row);
  return gated(sum, __shfl_xor_sync(kFullWarp, sum, kSlabRows / 2));
}

template <class Codec>
__device__ void ColumnsWorker<Codec>::multiply_shared_first_half(int slabs) {
  const std::int64_t inputs = b_.a.inner.inputs;
  if constexpr (Codec::kShared) {
    const int chunk = has_columns(inputs) ? warp_ : kNoChunk;
    const Activations x = load_chunk(activations(), chunk);
#pragma unroll 1
    for (int slab = 0; slab < slabs; ++slab) {
      multiply_coded(b_.plan.inner, x, chunk, sums() + slab * kSlabSums,
                     unit_of(r_.x_units, chunk));
    }
  } else {
    uint4 x[4];
    load_plain(activations(), inputs, x);
#pragma unroll
    for (uint4& eight : x) {  // from int4_order()
      eight = {__byte_perm(eight.x, eight.y, 0x5410), __byte_perm(eight.z, eight.w, 0x5410),
               __byte_perm(eight.x, eight.y, 0x7632), __byte_perm(eight.z, eight.w, 0x7632)};
    }
#pragma unroll 1
    for (int slab = 0; slab < slabs; ++slab) {
      multiply_shared(inputs, x, sums() + slab * kSlabSums);
    }
  }
}

template <class Codec>
__device__ void ColumnsWorker<Codec>::shared_first_half() {
  const MoeArgs& a = b_.a;
  const Share share = b_.wide_share();
  const int slabs = share.end - share.begin;
  const Units units(a.shared_gate, a.shared_up);
  multiply_shared_first_half(slabs);
  column_workers_meet();     // the sums of all warps are there
  b_.wait_to_know(kChosen);  // with what is left of the norm
  b_.wait_to_know(kTurnKnown);
  if (warp_ < slabs) {
    const float value = gated_sum(sums() + warp_ * kSlabSums, units);
    // In the order in which the second half takes it.
    constexpr int kApart = Codec::kShared ? 1 : 2;  // rows of the tile with neighbours
    const float next = __shfl_down_sync(kFullWarp, value, kApart);
    if (lane_ < kSlabRows / 2 && lane_ % (2 * kApart) < kApart) {
      const int output =
          (share.begin + warp_) * (kSlabRows / 2) + (Codec::kShared ? lane_ : weight_row(lane_));
      device::leave_at(reinterpret_cast<std::uint32_t*>(b_.wide() + output),
                       device::bf16_pair(value, next));
    }
  }
  column_workers_meet();  // sums have been read
}

// A chunk of a row; zeros if there is none.
template <class Codec>
__device__ typename Codec::Activations ColumnsWorker<Codec>::load_chunk(const uint4* row,
                                                                        int chunk) const {
  Activations x;
  x.load(row + chunk * kOctetsPerChunk + lane_ % 4 * 4, chunk != kNoChunk);
  return x;
}

// What is between the halves: a warp for each slab.
template <class Codec>
__device__ void ColumnsWorker<Codec>::store_halves(const Share& share, const Units& units) const {
  const int at = share.begin + warp_;
  if (at >= share.end) return;
  const float value = gated_sum(sums() + warp_ * kSlabSums, units);
  const float next = __shfl_down_sync(kFullWarp, value, 1);  // in the order of the tile's rows
  if (lane_ >= kSlabRows / 2 || lane_ % 2 != 0) return;
  const int entry = b_.entry_of(at);
  const int slab = at - entry * b_.plan.inner.slabs;
  device::leave_at(
      reinterpret_cast<std::uint32_t*>(b_.halves(entry) + slab * (kSlabRows / 2) + lane_),
      device::bf16_pair(value, next));
}

template <class Codec>
__device__ void ColumnsWorker<Codec>::first_halves() {
  const ColumnsPlan& plan = b_.plan;
  const Share share = b_.routed_share();
  // Of the slab that this warp will store, or of any.
  const int own = r_.ids[b_.entry_of(max(min(share.begin + warp_, share.end - 1), 0))];
  const Units units(device::weight_at(b_.a.inner.weight, own),
                    device::weight_at(b_.a.inner.up, own));
  const bool has_own = has_columns(b_.a.inner.inputs);
  GroupsAt columns = Codec::groups_at(plan.inner, has_own ? warp_ : 0);  // any, times zeros
  columns.hold();
  const float own_unit = unit_of(r_.x_units, has_own ? warp_ : kNoChunk);
  float* to = sums();
  const Activations x = load_chunk(activations(), has_own ? warp_ : kNoChunk);
#pragma unroll 1
  for (int at = share.begin; at < share.end; ++at) {
    wait_for(next_);
    float rows[2];
    Codec::multiply(plan.inner, stage(next_), columns, x, rows);
    leave(1);
    add_neighbours(rows);
    leave_sums(rows, to, own_unit);
    to += kSlabSums;
  }
  column_workers_meet();  // the sums of all warps are there
  store_halves(share, units);
}

}  // namespace glm::kernels::cuda
