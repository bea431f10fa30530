// The positions of mla_decode_batch.cu: which a block has, how their rows, the token's own and the
// queries get into shared memory, and how what is found among them gets to others.
#pragma once

#include "kernels/cuda/mla_decode_batch_block.cuh"
#include "kernels/cuda/mla_decode_rows.cuh"

namespace glm::kernels::cuda::mla_batch {

// The token that a block reads rows for, and which: [first, first + count) of those it sees.
struct Range {
  int token;
  int sequence;
  int own;  // position of the token
  int first;
  int count;

  __device__ static Range of(const Args& a, int block) {
    const int token = block / a.splits;
    if (token >= a.tokens) return {.token = 0, .sequence = 0, .own = 0, .first = 0, .count = 0};
    const int own = a.one.turns.positions[token];
    const int share = (own + a.splits) / a.splits;  // of own + 1 positions
    const int first = min(block % a.splits * share, own + 1);
    return {.token = token,
            .sequence = a.one.sequences[token],
            .own = own,
            .first = first,
            .count = min(share, own + 1 - first)};
  }
  __device__ bool has_own() const { return count > 0 && first + count > own; }
  __device__ int tiles() const { return (count + kRows - 1) / kRows; }
  __device__ int rows(int tile) const { return min(kRows, count - tile * kRows); }
  // Whether the token's own row is the last of the tile.
  __device__ bool has_own(int tile) const { return first + tile * kRows + rows(tile) > own; }
};

// Copies of the rows of a tile, if there is one, as one group: by the first warps eight rows each,
// zeros where there are none, not the token's own, which is not in memory yet.
constexpr int kCopyWarps = 8;
__device__ inline void copy_rows(const Args& a, const Range& range, int tile, std::uint32_t tiles) {
  const int lane = lane_of();
  if (tile < range.tiles() && warp_of() < kCopyWarps) {
    const std::uint32_t to = tiles +
                             static_cast<std::uint32_t>(tile % kStages * groups::kTileBytes) +
                             groups::piece_at(groups::kTileBox, warp_of(), lane);
    // Sixty-four positions are in two pages at most.
    const int first = range.first + tile * kRows;
    const int last = range.first + min(range.count - 1, tile * kRows + kRows - 1);
    const device::PagedRows<>& rows = a.one.rows;
    const std::int32_t* table = rows.table + range.sequence * rows.table_stride;
    const std::int64_t page = table[first / device::kRowsOfPage];
    const std::int64_t next = table[last / device::kRowsOfPage];
#pragma unroll 2  // there are many such places, and all code is fetched
    for (int i = 0; i < kRows / kCopyWarps; ++i) {
      const int position = first + warp_of() + i * kCopyWarps;
      const bool there = position <= last;
      if (there && position == range.own) continue;
      const bool behind = position / device::kRowsOfPage > first / device::kRowsOfPage;
      const __nv_bfloat16* from = rows.pages + (there && behind ? next : page) * rows.page_stride +
                                  (there ? position % device::kRowsOfPage : 0) * rows.place_stride +
                                  lane * 8;
      const std::uint32_t row = to + static_cast<std::uint32_t>(i * kCopyWarps * 128);
      device::copy_async_16(row, from, there);
      device::copy_async_16(row + 4 * groups::kTileBox, from + 256, there);
      if (lane < 8) device::copy_async_16(row + 8 * groups::kTileBox, from + 512, there);
    }
  }
  device::copy_async_commit();
}

// The row of the block's token itself, made by one warp, put where it is read, and cached.
class OwnRow {
 public:
  // `turns`, `row`: of shared memory, this class's own.
  __device__ OwnRow(const Args& a, const Range& range, float2* turns, __nv_bfloat16* row)
      : a_(a), range_(range), row_(row) {
    if (warp_of() != kRowWarp || !range.has_own()) return;
    turns[lane_of()] = a.one.turns.turn(range.token, lane_of());
    __syncwarp();
    mla_decode::make_row(a.one, range.token, turns, row);
    __syncwarp();
  }
  // If it is in this tile, which nobody reads before a meeting of all.
  __device__ void put(int tile, unsigned char* tiles) const {
    if (warp_of() != kRowWarp || !range_.has_own(tile)) return;
    unsigned char* const to = tiles + tile % kStages * groups::kTileBytes;
    auto* const cached = reinterpret_cast<uint4*>(a_.one.rows.row(range_.sequence, range_.own));
    for (int i = lane_of(); i < kWidth / 8; i += device::kWarpThreads) {
      const uint4 octet = reinterpret_cast<const uint4*>(row_)[i];
      const auto at = groups::piece_at(groups::kTileBox, range_.rows(tile) - 1, i);
      *reinterpret_cast<uint4*>(to + at) = octet;
      cached[i] = octet;
    }
  }

 private:
  const Args& a_;
  const Range& range_;
  const __nv_bfloat16* row_;
};

// Queries of all heads as they come, to where products read them: a warp has one or two.
__device__ inline void take_queries(const Args& a, unsigned char* to, unsigned turn, int token) {
  constexpr int kOctets = kWidth / 8;
  constexpr int kHeld = (kOctets + device::kWarpThreads - 1) / device::kWarpThreads;
  const auto head = [](int i) { return warp_of() + i / kHeld * kWarps; };
  const auto octet = [](int i) { return lane_of() + i % kHeld * device::kWarpThreads; };
  uint4 octets[2 * kHeld];
  device::await(
      octets, [&](int i) { return head(i) < a.heads && octet(i) < kOctets; },
      [&](int i) { return &a.meeting->asked[turn][token][head(i)][octet(i)]; });
#pragma unroll
  for (int i = 0; i < 2 * kHeld; ++i) {
    if (head(i) >= groups::kHeads || octet(i) >= kOctets) continue;
    *reinterpret_cast<uint4*>(to + groups::piece_at(groups::kHeadsBox, head(i), octet(i))) =
        octets[i];
  }
}
static_assert(2 * kWarps >= groups::kHeads);

// The queries' other place is emptied for the next launch: what in it is of this block.
__device__ inline void empty_other_queries(const Args& a, unsigned turn, int head, int rank) {
  constexpr int kOctets = kOwnLatents / 8;
  constexpr int kTurnedOctets = kOwnTurned / 8;
  const int token = static_cast<int>(threadIdx.x) % kTokens;
  const int octet = static_cast<int>(threadIdx.x) / kTokens;
  if (octet >= kOctets + kTurnedOctets) return;
  const int at =
      octet < kOctets ? rank * kOctets + octet : kRank / 8 + rank * kTurnedOctets + octet - kOctets;
  // Those of heads that are none this time as well: the launch before may have had them.
#pragma unroll 1
  for (int h = head; h < kHeadsMax; h += a.heads) {
    a.meeting->asked[turn ^ 1U][token][h][at] = device::kNothing16;
  }
}

// All that this block found, to memory; results are in shared memory. By the first warpgroup the
// sums, by the other warps the values: wait_until_read() is for these.
__device__ inline void tell_found(const Args& a, groups::Weighing& weighing, groups::Softmax& state,
                                  const unsigned char* results, int block) {
  constexpr int kGroupThreads = groups::kGroupWarps * device::kWarpThreads;
  if (warp_of() < groups::kGroupWarps) {
    groups::leave_sums(weighing, state);
    device::sync_threads(kScoresBarrier, kGroupThreads);
    const int thread = static_cast<int>(threadIdx.x);
    const int head = thread / kBlocks;
    if (head >= a.heads) return;
    a.meeting->said[block][head][thread % kBlocks] = {
        __float_as_uint(weighing.most[head]), __float_as_uint(groups::sum_of(weighing, head))};
  } else if (lane_of() == 0) {
    // Some by each warp: copies of one follow each other, and each takes long to begin.
#pragma unroll 1
    for (int head = warp_of() - groups::kGroupWarps; head < a.heads;
         head += kWarps - groups::kGroupWarps) {
      asm volatile("cp.async.bulk.global.shared::cta.bulk_group [%0], [%1], %2;\n" ::"l"(
                       a.meeting->found[block][head]),
                   "r"(device::shared_address(results + head * groups::kResultPitch)),
                   "r"(kRank * 2)
                   : "memory");
    }
    asm volatile("cp.async.bulk.commit_group;\n" ::: "memory");
  }
}
// Before a block ends.
__device__ inline void wait_until_read() {
  asm volatile("cp.async.bulk.wait_group.read 0;\n" ::: "memory");
}
static_assert(kHeadsMax * kBlocks <= groups::kGroupWarps * device::kWarpThreads);

}  // namespace glm::kernels::cuda::mla_batch
