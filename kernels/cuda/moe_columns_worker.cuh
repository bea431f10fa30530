// The warps of moe_columns.cu that multiply, up to what is between the halves; the rest is in
// moe_columns_second_half.cuh. Each has a chunk of the columns of every row, and leaves its sums in
// shared memory; those of all warps are added in their order.
#pragma once

#include "kernels/cuda/moe_columns_block.cuh"
#include "kernels/cuda/moe_columns_math.cuh"

namespace glm::kernels::cuda {

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
  __device__ static int octets(std::int64_t columns) { return static_cast<int>(columns) / 8; }
  __device__ bool has_columns(std::int64_t inputs) const { return warp_ * kChunk < inputs; }
  __device__ uint4* activations(int token) const {
    return reinterpret_cast<uint4*>(b_.at(static_cast<unsigned>(token) * b_.plan.x_pitch));
  }
  __device__ float* sums() const { return reinterpret_cast<float*>(b_.at(b_.plan.sums_at)); }
  // From slab to slab.
  __device__ int slab_sums() const { return b_.a.tokens * kSlabRows * kSumsPitch; }
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
#pragma unroll
    for (float& row : rows) row += __shfl_xor_sync(kFullWarp, row, 1);
  }
  // This warp's sums of its rows and of token sum_token().
  __device__ void leave_sums(const float (&rows)[2], float* slab) const {
    if (lane_ % 2 != 0 || sum_token() >= b_.a.tokens) return;
    float* to = slab + (sum_token() * kSlabRows + lane_ / 4) * kSumsPitch + warp_;
    to[0] = rows[0];
    to[kSlabRows / 2 * kSumsPitch] = rows[1];
  }

  __device__ void load_activations() const;
  __device__ void load_plain(const uint4* rows, std::int64_t inputs, uint4 (&x)[4]) const;
  __device__ void multiply_shared(std::int64_t inputs, const uint4 (&x)[4], float* to);
  __device__ float gated_sum(const float* slab, int token) const;
  __device__ void shared_first_half();
  __device__ void load_groups(const uint4* row, bool is_there, int chunk, uint4 (&x)[4],
                              float (&offset)[4]) const;
  __device__ void store_halves(const Share& share) const;
  __device__ void first_halves();
  __device__ void load_halves() const;
  __device__ void second_half_of_experts(bool rehearsed);
  __device__ void store_outputs(int slab) const;
  __device__ void second_halves();

  const ColumnsBlock& b_;
  ColumnsRouting& r_;
  int lane_;
  int warp_;
  Ring next_;
};

// In int4_order(). Of a norm, its weight is multiplied here; what is the same for all columns of a
// token is left to the sums.
__device__ inline void ColumnsWorker::load_activations() const {
  const MoeArgs& a = b_.a;
  const int row_octets = octets(a.inner.inputs);
#pragma unroll 1
  for (int at = static_cast<int>(threadIdx.x); at < a.tokens * row_octets; at += kColumnWorkers) {
    const int row = at < row_octets ? 0 : 1;
    const int octet = at - row * row_octets;
    const auto* from = reinterpret_cast<const uint4*>(static_cast<const __nv_bfloat16*>(a.inner.x) +
                                                      row * a.inner.x_stride);
    uint4 x = __ldcg(from + octet);
    if (a.norm != nullptr) {
      x = device::octet_product(x, __ldg(reinterpret_cast<const uint4*>(a.norm) + octet));
    }
    activations(row)[octet] = device::int4_order(x);
  }
}

// This lane's octets of this warp's chunk, from rows of so many columns one for each token, as
// multiply_plain() takes them; lanes beyond the last token have its.
__device__ inline void ColumnsWorker::load_plain(const uint4* rows, std::int64_t inputs,
                                                 uint4 (&x)[4]) const {
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    x[i] = has_columns(inputs) ? rows[warp_ * kOctetsPerChunk + lane_ % 4 * 4 + plain_word(i)]
                               : uint4{};
  }
}

// A slab of the shared expert, which are the next four items, times this warp's columns: sums of
// all tokens to `to`.
__device__ inline void ColumnsWorker::multiply_shared(std::int64_t inputs, const uint4 (&x)[4],
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
  if (lane_ % 4 != 0) return;  // columns of the first two tokens
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    if (i % 2 >= b_.a.tokens) continue;
    to[(i % 2 * kSlabRows + tile_row + i / 2 * (kSlabRows / 2)) * kSumsPitch + warp_] = all[i];
  }
}

// Of a slab of first halves: for tile row lane % 8, what is between the halves.
__device__ inline float ColumnsWorker::gated_sum(const float* slab, int token) const {
  const float* row = slab + (token * kSlabRows + lane_ % kSlabRows) * kSumsPitch;
  const float sum = r_.scales[token] * sum_of(row);
  return gated(sum, __shfl_xor_sync(kFullWarp, sum, kSlabRows / 2));
}

__device__ inline void ColumnsWorker::shared_first_half() {
  const MoeArgs& a = b_.a;
  const Share share = b_.wide_share();
  const int slabs = share.end - share.begin;
  uint4 x[4];
  load_plain(activations(min(lane_ / 4, a.tokens - 1)), a.inner.inputs, x);
#pragma unroll
  for (uint4& eight : x) {  // from int4_order()
    eight = {__byte_perm(eight.x, eight.y, 0x5410), __byte_perm(eight.z, eight.w, 0x5410),
             __byte_perm(eight.x, eight.y, 0x7632), __byte_perm(eight.z, eight.w, 0x7632)};
  }
#pragma unroll 1
  for (int slab = 0; slab < slabs; ++slab) {
    multiply_shared(a.inner.inputs, x, sums() + slab * slab_sums());
  }
  column_workers_meet();  // the sums of all warps are there
  b_.wait_to_know(kListed);
  // A warp has a token of a slab.
  if (warp_ < slabs * a.tokens) {
    const int token = warp_ < slabs ? 0 : 1;
    const int slab = warp_ - token * slabs;
    const float value = gated_sum(sums() + slab * slab_sums(), token);
    const float next = __shfl_down_sync(kFullWarp, value, 2);  // of the next output
    if (lane_ < kSlabRows / 2 && lane_ % 4 < 2) {
      const int output = (share.begin + slab) * (kSlabRows / 2) + weight_row(lane_);
      device::leave_at(reinterpret_cast<std::uint32_t*>(b_.wide(token) + output),
                       device::bf16_pair(value, next));
    }
  }
  column_workers_meet();  // sums have been read
}

// A chunk of the row of token group_token(), if it is there; and what multiply_groups() wants of
// it.
__device__ inline void ColumnsWorker::load_groups(const uint4* row, bool is_there, int chunk,
                                                  uint4 (&x)[4], float (&offset)[4]) const {
  const bool owns = owns_group() && is_there;
  const uint4* from = row + chunk * kOctetsPerChunk + lane_ % 4 * 4;
#pragma unroll
  for (int i = 0; i < 4; ++i) x[i] = owns ? from[i] : uint4{};
  sum_groups(x, offset);
}

// What is between the halves: a warp for each slab, in each half of it a token.
__device__ inline void ColumnsWorker::store_halves(const Share& share) const {
  const int at = share.begin + warp_;
  if (at >= share.end) return;
  const int entry = b_.entry_of(at);
  const int token = lane_ / kSlabRows;
  const unsigned pair = token < b_.a.tokens ? r_.pairs[entry][token] : kNone;
  const float value = gated_sum(sums() + warp_ * slab_sums(), token < b_.a.tokens ? token : 0);
  const float next = __shfl_down_sync(kFullWarp, value, 1);  // in the order of the tile's rows
  const int place = lane_ % kSlabRows;
  if (pair == kNone || place >= kSlabRows / 2 || place % 2 != 0) return;
  const int slab = at - entry * b_.plan.inner.slabs;
  device::leave_at(
      reinterpret_cast<std::uint32_t*>(b_.halves(pair) + slab * (kSlabRows / 2) + place),
      device::bf16_pair(value, next));
}

__device__ inline void ColumnsWorker::first_halves() {
  const ColumnsPlan& plan = b_.plan;
  const Share share = b_.routed_share(r_.count);
  int entry = b_.entry_of(share.begin);
  int slab = share.begin - entry * plan.inner.slabs;
  bool loaded = false;
  const bool has_own = has_columns(b_.a.inner.inputs);
  const int chunk = has_own ? warp_ : 0;  // any, times zeros
  const GroupsAt columns(plan.inner, chunk);
  float* to = sums();
  uint4 x[4];
  float offset[4];
#pragma unroll 1
  for (int at = share.begin; at < share.end; ++at) {
    if (!loaded) {
      const bool is_wanted = r_.pairs[entry][group_token()] != kNone;
      load_groups(activations(group_token()), has_own && is_wanted, chunk, x, offset);
      loaded = true;
    }
    wait_for(next_);
    float rows[2];
    multiply_groups(plan.inner, stage(next_), columns, x, offset, rows);
    leave(1);
    add_neighbours(rows);
    leave_sums(rows, to);
    to += slab_sums();
    if (++slab < plan.inner.slabs) continue;
    slab = 0;
    ++entry;
    loaded = false;
  }
  column_workers_meet();  // the sums of all warps are there
  store_halves(share);
}

}  // namespace glm::kernels::cuda
