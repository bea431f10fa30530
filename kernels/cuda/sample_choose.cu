// The last kernel of sample, one block for each row. Rows without filters take the best of their
// pieces. Rows with filters find the key below which nothing stays, by narrowing the range it lies
// in: the bin of a range in which a sum from above reaches what is wanted is the next range, until
// it holds one key. Then they draw among the keys above. Rows with logprobs find their most likely
// ids in the same way.
#include <cfloat>

#include "kernels/cuda/early_launch.h"
#include "kernels/cuda/sample_sums.cuh"
#include "kernels/device/bulk_copy.cuh"

namespace glm::kernels::cuda::sampling {
namespace {

// A range of keys (draw::key_of), cut into bins of 2^shift of them, the largest keys first.
struct Range {
  std::uint64_t low;
  std::uint64_t high;

  __device__ bool holds(std::uint64_t key) const { return key >= low && key <= high; }
  __device__ int shift() const {
    const int bits = 64 - __clzll(static_cast<long long>(high - low));
    return max(0, bits - 11);
  }
  __device__ int bin(std::uint64_t key) const { return static_cast<int>((high - key) >> shift()); }
  __device__ Range part(int number) const {
    const std::uint64_t first = high - (static_cast<std::uint64_t>(number) << shift());
    const std::uint64_t width = 1ULL << shift();
    return {.low = first - low >= width ? first - width + 1 : low, .high = first};
  }
};
static_assert(kSampleBins == 1 << 11);

__device__ Range from_lane(const Range& range, int mask) {
  return {.low = __shfl_xor_sync(kFullWarp, range.low, mask),
          .high = __shfl_xor_sync(kFullWarp, range.high, mask)};
}

// All keys of logits between these two.
__device__ Range range_of(float lowest, float highest) {
  constexpr std::int32_t kLastId = 0xFFFFFF;
  return {.low = draw::key_of(lowest, kLastId), .high = draw::key_of(highest, 0)};
}

struct Shared {
  SumsShared sums;
  SampleBins bins;
  std::uint64_t list[kSampleListMax];  // keys, in any order
  std::uint32_t listed;
};

// A row's keys, and what they weigh.
struct Keys {
  Source source;
  Draw draw;
  bool weighs;

  __device__ std::uint64_t mass(std::uint64_t key) const {
    return weighs ? draw::mass(draw.weight(draw::logit_of(key))) : 0;
  }
  template <typename Body>
  __device__ void for_each(const Range& range, const Body& body) const {
    source.for_each(0, source.count, [&](int id, float logit) {
      const std::uint64_t key = draw::key_of(logit, id);
      if (range.holds(key)) body(key);
    });
  }
};

template <typename Body>
__device__ void for_listed(const Shared& shared, const Body& body) {
  for (std::uint32_t i = threadIdx.x; i < shared.listed; i += kThreads) body(shared.list[i]);
}

__device__ void clear_list(Shared& shared) {
  __syncthreads();  // nobody still reads it
  if (threadIdx.x == 0) shared.listed = 0;
  __syncthreads();  // it is empty
}

// Too many are counted and not kept.
__device__ void append(Shared& shared, std::uint64_t key) {
  const std::uint32_t place = atomicAdd(&shared.listed, 1U);
  if (place < kSampleListMax) shared.list[place] = key;
}

// Where a row's keys are cut off, and what lies above, the last key included.
struct Cut {
  std::uint64_t key;
  Sums sums;
};

// Narrows `range` until one key is left at which sums from above reach `wanted`. `listed`: the list
// has all keys of the range; else they are read from the row.
__device__ Cut find_cut(const Keys& keys, Range range, bool listed, Sums above, Measure by,
                        std::uint64_t wanted, Shared& shared) {
  while (true) {
    clear_bins(shared.bins);
    __syncthreads();  // all are cleared
    const auto count = [&](std::uint64_t key) {
      add_to(shared.bins, range.bin(key), keys.mass(key));
    };
    if (listed) {
      for_listed(shared, [&](std::uint64_t key) {
        if (range.holds(key)) count(key);
      });
    } else {
      keys.for_each(range, count);
    }
    __syncthreads();  // bins are complete
    const FoundBin found = ScannedBins(shared.bins, above, shared.sums).find(by, wanted);
    above = found.above;
    const bool single = range.shift() == 0 || found.inside.count == 1;
    range = range.part(found.number);
    if (single) return {.key = range.low, .sums = above + found.inside};
    if (!listed && found.inside.count <= kSampleListMax) {
      clear_list(shared);
      keys.for_each(range, [&](std::uint64_t key) { append(shared, key); });
      __syncthreads();  // the list is complete
      listed = true;
    }
  }
}

// The lowest key that top_k and top_p leave, of all keys or of those in the list.
__device__ std::uint64_t last_key(const SampleRow& row, const Keys& keys, const Range& range,
                                  bool listed, Sums above, Sums all, Shared& shared) {
  std::uint64_t key = range.low;
  const auto top_k = static_cast<std::uint64_t>(max(row.top_k, 0));
  if (top_k > 0 && top_k <= all.count) {
    const Cut cut = find_cut(keys, range, listed, above, Measure::count, top_k, shared);
    key = cut.key;
    all = cut.sums;
  }
  if (!(row.top_p < 1.0F)) return key;
  const std::uint64_t wanted = draw::mass_wanted(row.top_p, all.mass);
  return max(key, find_cut(keys, range, listed, above, Measure::mass, wanted, shared).key);
}

// The winner among the keys of the list that stay.
__device__ SampleBest among_listed(const SampleRow& row, const Keys& keys, const SampleList& list,
                                   Shared& shared) {
  clear_list(shared);
  if (threadIdx.x == 0) shared.listed = list.count;
  Range range{.low = ~0ULL, .high = 0};
  for (std::uint32_t i = threadIdx.x; i < list.count; i += kThreads) {
    const std::uint64_t key = list.keys[i];
    shared.list[i] = key;
    range = {.low = min(range.low, key), .high = max(range.high, key)};
  }
  range = block_joined(range, Range{.low = ~0ULL, .high = 0}, [](const Range& x, const Range& y) {
    return Range{.low = min(x.low, y.low), .high = max(x.high, y.high)};
  });
  __syncthreads();  // the list is complete
  const Sums above = {.count = list.above_count, .mass = list.above_mass};
  const Sums all = {.count = list.above_count + list.count, .mass = list.all_mass};
  const std::uint64_t last = last_key(row, keys, range, true, above, all, shared);
  SampleBest best{.score = 0, .id = -1};
  for_listed(shared, [&](std::uint64_t key) {
    const float logit = draw::logit_of(key);
    if (key < last || !keys.draw.likely(logit)) return;
    best = better(best, keys.draw.score(logit, draw::id_of(key)));
  });
  return best;
}

// The winner of the draw among the ids that all filters leave.
__device__ int filtered(const Args& a, const SampleRow& row, const SamplePart& part,
                        Shared& shared) {
  const Keys keys{.source = source_of(a, row, blockIdx.x),
                  .draw = Draw(row, part.highest),
                  .weighs = row.top_p < 1.0F};
  const SampleList& list = a.space.lists[blockIdx.x];
  SampleBest best{.score = 0, .id = -1};
  if (list.count <= kSampleListMax) {
    if (list.count > 0) best = among_listed(row, keys, list, shared);
    for (int i = static_cast<int>(threadIdx.x); i < a.chunks; i += kThreads) {
      best = better(best, a.drawn(blockIdx.x)[i]);
    }
  } else {  // ties without end
    const Range range = range_of(part.lowest, part.highest);
    Sums own = {};
    keys.for_each(range,
                  [&](std::uint64_t key) { own = own + Sums{.count = 1, .mass = keys.mass(key)}; });
    Sums all;
    block_scan(own, shared.sums, all);
    const std::uint64_t last = last_key(row, keys, range, false, {}, all, shared);
    keys.for_each({.low = last, .high = range.high}, [&](std::uint64_t key) {
      const float logit = draw::logit_of(key);
      if (keys.draw.likely(logit)) best = better(best, keys.draw.score(logit, draw::id_of(key)));
    });
  }
  return block_joined(best).id;
}

// A lower bound of the count-th largest logit: the count-th largest of the pieces' own largest.
__device__ float floor_of(const Args& a, int count, Shared& shared) {
  if (a.chunks < count) return -FLT_MAX;
  const SamplePart* parts = a.parts(blockIdx.x);
  for (int i = static_cast<int>(threadIdx.x); i < a.chunks; i += kThreads) {
    const std::uint64_t own = draw::key_of(parts[i].raw_highest, i);
    int larger = 0;
    for (int j = 0; j < a.chunks; ++j) {
      larger += draw::key_of(parts[j].raw_highest, j) > own ? 1 : 0;
    }
    if (larger == count - 1) shared.list[0] = own;
  }
  __syncthreads();  // one of them was the one
  return fmaxf(draw::logit_of(shared.list[0]), -FLT_MAX);
}

// Of a row whose logits are all finite.
__device__ void report_logprobs(const Args& a, const SampleRow& row, const SamplePart& part,
                                int chosen, SampledRow& out, Shared& shared) {
  const float top = part.raw_highest;
  const Keys keys{.source = {.logits = a.raw(blockIdx.x), .count = a.ids_of(row)},
                  .draw = Draw(row, top),
                  .weighs = false};
  const int count = min(min(row.logprobs, kLogprobsMax), keys.source.count);
  const float floor = count > 0 ? floor_of(a, count, shared) : FLT_MAX;
  clear_list(shared);
  Sums own = {};
  keys.source.for_each(0, keys.source.count, [&](int id, float logit) {
    own.mass += draw::mass(draw::weight(logit, top, 1.0));
    if (logit >= floor) append(shared, draw::key_of(logit, id));
  });
  Sums all;
  block_scan(own, shared.sums, all);
  const float log_sum = draw::log_sum(all.mass);
  const auto logprob = [&](int id) {
    return draw::add(draw::add(keys.source.logits[id], -top), -log_sum);
  };
  if (threadIdx.x == 0) {
    out.logprob = logprob(chosen);
    out.top_count = count;
  }
  if (count == 0) return;
  const bool listed = shared.listed <= kSampleListMax;
  const Range range = range_of(floor, top);
  const Cut cut =
      find_cut(keys, range, listed, {}, Measure::count, static_cast<std::uint64_t>(count), shared);
  clear_list(shared);
  keys.for_each({.low = cut.key, .high = range.high},
                [&](std::uint64_t key) { append(shared, key); });
  __syncthreads();  // the list is complete
  const auto thread = static_cast<int>(threadIdx.x);
  if (thread >= count) return;
  const std::uint64_t mine = shared.list[thread];
  int place = 0;
  for (int i = 0; i < count; ++i) place += shared.list[i] > mine ? 1 : 0;
  out.top_ids[place] = draw::id_of(mine);
  out.top_logprobs[place] = logprob(draw::id_of(mine));
}

__global__ void __launch_bounds__(kThreads) choose_kernel(Args a) {
  __shared__ Shared shared;
  const SampleRow row = a.rows[blockIdx.x];
  device::wait_for_earlier_kernels();
  device::let_later_kernels_start();
  SampledRow& out = a.out[blockIdx.x];
  const SamplePart part = whole_row(a, blockIdx.x);
  int id = part.best.id;
  if (draw::filters(row) && draw::is_finite(part.highest)) id = filtered(a, row, part, shared);
  const bool reports = row.logprobs >= 0 && part.finite == 1;
  if (threadIdx.x == 0) {
    out.id = id;
    out.finite = part.finite;
    if (row.next_cell >= 0) a.history.pages[row.next_cell] = id;
    if (!reports) {
      out.logprob = 0;
      out.top_count = 0;
    }
  }
  if (reports) report_logprobs(a, row, part, id, out, shared);
}

}  // namespace

cudaError_t launch_choose(const Args& a, cudaStream_t stream) {
  return launch_early({.grid = static_cast<unsigned>(a.row_count), .threads = kThreads},
                      &choose_kernel, stream, a);
}

}  // namespace glm::kernels::cuda::sampling
