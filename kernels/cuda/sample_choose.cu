// The last kernel of sample, one block for each row. Rows without filters take the best of their
// pieces. Rows with filters find the key below which nothing stays, by narrowing the range it lies
// in: the bin of a range in which a sum from above reaches what is wanted is the next range, until
// it holds one key. Then they draw among the keys above. Rows with logprobs find their most likely
// ids in the same way.
#include <cfloat>

#include "kernels/cuda/sample_row.cuh"

namespace glm::kernels::cuda::sampling {
namespace {

constexpr int kThreads = 1024;
constexpr int kBinsOfThread = kSampleBins / kThreads;
constexpr std::uint32_t kListMax = 2048;

struct Sums {
  std::uint64_t count;
  std::uint64_t mass;
};
__device__ Sums operator+(const Sums& a, const Sums& b) {
  return {.count = a.count + b.count, .mass = a.mass + b.mass};
}

// Where a row's keys are cut off, and what lies above, the last key included.
struct Cut {
  std::uint64_t key;
  Sums sums;
};

enum class Measure { count, mass };
__device__ std::uint64_t measured(const Sums& sums, Measure by) {
  return by == Measure::count ? sums.count : sums.mass;
}

// Keys of a row, and what they weigh where anybody asks.
struct Keys {
  Source source;
  float highest;
  double per_temperature;
  bool weighs;

  template <typename Body>
  __device__ void for_each(const Body& body) const {
    source.for_each(static_cast<int>(threadIdx.x), source.count, kThreads, body);
  }
  __device__ std::uint64_t mass(std::uint64_t key) const {
    return weighs ? draw::mass(draw::weight(draw::logit_of(key), highest, per_temperature)) : 0;
  }
};

struct Shared {
  SampleBins bins;
  std::uint64_t list[kListMax];  // the keys of a range, once they are few
  std::uint32_t listed;
  Sums warp_sums[kThreads / device::kWarpThreads];
  Sums above;   // of the bin that was found
  Sums inside;  // of it
  int bin;
};

__device__ Sums warp_scan(Sums sums) {
  const int lane = static_cast<int>(threadIdx.x) % device::kWarpThreads;
  for (int offset = 1; offset < device::kWarpThreads; offset *= 2) {
    const Sums other = {.count = __shfl_up_sync(kFullWarp, sums.count, offset),
                        .mass = __shfl_up_sync(kFullWarp, sums.mass, offset)};
    if (lane >= offset) sums = sums + other;
  }
  return sums;
}

// Sums of this thread's predecessors and itself; `all` are those of the block.
__device__ Sums block_scan(Sums sums, Shared& shared, Sums& all) {
  const int warp = static_cast<int>(threadIdx.x) / device::kWarpThreads;
  const int lane = static_cast<int>(threadIdx.x) % device::kWarpThreads;
  sums = warp_scan(sums);
  __syncthreads();  // nobody still reads the sums of an earlier call
  if (lane == device::kWarpThreads - 1) shared.warp_sums[warp] = sums;
  __syncthreads();  // the sums of all warps are there
  const Sums scanned = warp_scan(shared.warp_sums[lane]);
  all = {.count = __shfl_sync(kFullWarp, scanned.count, device::kWarpThreads - 1),
         .mass = __shfl_sync(kFullWarp, scanned.mass, device::kWarpThreads - 1)};
  const int before = max(warp - 1, 0);
  const Sums earlier = {.count = __shfl_sync(kFullWarp, scanned.count, before),
                        .mass = __shfl_sync(kFullWarp, scanned.mass, before)};
  return warp > 0 ? sums + earlier : sums;
}
static_assert(kThreads / device::kWarpThreads == device::kWarpThreads);

// The bin in which sums from above reach `wanted`, which all bins together do; shared.bin, .above
// and .inside. Returns the sums of all bins.
__device__ Sums find_bin(Shared& shared, Sums above, Measure by, std::uint64_t wanted) {
  const int first = static_cast<int>(threadIdx.x) * kBinsOfThread;
  Sums own[kBinsOfThread];
  Sums sums = {};
  for (int i = 0; i < kBinsOfThread; ++i) {
    own[i] = {.count = shared.bins.counts[first + i], .mass = shared.bins.masses[first + i]};
    sums = sums + own[i];
  }
  Sums all;
  const Sums scanned = block_scan(sums, shared, all);
  Sums before = {.count = above.count + scanned.count - sums.count,
                 .mass = above.mass + scanned.mass - sums.mass};
  for (int i = 0; i < kBinsOfThread; ++i) {
    const Sums behind = before + own[i];
    if (measured(before, by) < wanted && measured(behind, by) >= wanted) {
      shared.bin = first + i;
      shared.above = before;
      shared.inside = own[i];
    }
    before = behind;
  }
  __syncthreads();  // the bin is known to all
  return all;
}

__device__ void clear_bins(Shared& shared) {
  for (int i = static_cast<int>(threadIdx.x); i < kSampleBins; i += kThreads) {
    shared.bins.counts[i] = 0;
    shared.bins.masses[i] = 0;
  }
}

__device__ void count_key(const Keys& keys, const Range& range, std::uint64_t key, Shared& shared) {
  const int bin = range.bin(key);
  atomicAdd(shared.bins.counts + bin, 1U);
  const std::uint64_t mass = keys.mass(key);
  if (mass > 0) atomicAdd(shared.bins.masses + bin, static_cast<unsigned long long>(mass));
}

// Bins of a range, from all keys of the row.
__device__ void fill_bins(const Keys& keys, const Range& range, Shared& shared) {
  clear_bins(shared);
  __syncthreads();  // all are cleared
  keys.for_each([&](int id, float logit) {
    const std::uint64_t key = draw::key_of(logit, id);
    if (range.holds(key)) count_key(keys, range, key, shared);
  });
  __syncthreads();  // bins are complete
}

// Keys of a range, which must be few, into the list; in any order.
__device__ void fill_list(const Keys& keys, const Range& range, Shared& shared) {
  if (threadIdx.x == 0) shared.listed = 0;
  __syncthreads();  // the list is empty
  keys.for_each([&](int id, float logit) {
    const std::uint64_t key = draw::key_of(logit, id);
    if (range.holds(key)) shared.list[atomicAdd(&shared.listed, 1U)] = key;
  });
  __syncthreads();  // the list is complete
}

// Narrows `range`, whose bins are in shared.bins, until one key is left at which sums from above
// reach `wanted`.
__device__ Cut find_cut(const Keys& keys, Range range, Measure by, std::uint64_t wanted,
                        Shared& shared) {
  Sums above = {};
  bool listed = false;
  while (true) {
    find_bin(shared, above, by, wanted);
    above = shared.above;
    const Sums inside = shared.inside;
    const bool single = range.shift() == 0 || inside.count == 1;
    range = range.part(shared.bin);
    if (single) return {.key = range.low, .sums = above + inside};
    if (listed) {
      clear_bins(shared);
      __syncthreads();  // all are cleared
    } else if (inside.count <= kListMax) {
      fill_list(keys, range, shared);
      listed = true;
      clear_bins(shared);
      __syncthreads();  // all are cleared
    } else {
      fill_bins(keys, range, shared);
      continue;
    }
    for (std::uint32_t i = threadIdx.x; i < shared.listed; i += kThreads) {
      if (range.holds(shared.list[i])) count_key(keys, range, shared.list[i], shared);
    }
    __syncthreads();  // bins are complete
  }
}

__device__ void load_bins(const SampleBins& bins, Shared& shared) {
  for (int i = static_cast<int>(threadIdx.x); i < kSampleBins; i += kThreads) {
    shared.bins.counts[i] = bins.counts[i];
    shared.bins.masses[i] = bins.masses[i];
  }
  __syncthreads();  // bins are complete
}

// The lowest key that top_k and top_p leave.
__device__ std::uint64_t last_key(const Args& a, const SampleRow& row, const Keys& keys,
                                  const Range& range, Shared& shared) {
  const SampleBins& bins = a.space.bins[blockIdx.x];
  load_bins(bins, shared);
  Sums all = find_bin(shared, {}, Measure::count, 1);
  std::uint64_t key = range.low;
  const auto top_k = static_cast<std::uint64_t>(max(row.top_k, 0));
  if (top_k > 0 && top_k < all.count) {
    const Cut cut = find_cut(keys, range, Measure::count, top_k, shared);
    key = cut.key;
    all = cut.sums;
    if (row.top_p < 1.0F) load_bins(bins, shared);
  }
  if (!(row.top_p < 1.0F)) return key;
  const std::uint64_t wanted = draw::mass_wanted(row.top_p, all.mass);
  const Cut cut = find_cut(keys, range, Measure::mass, wanted, shared);
  return max(key, cut.key);
}

// The winner of the draw among the ids that all filters leave.
__device__ int filtered(const Args& a, const SampleRow& row, const SamplePart& part,
                        Shared& shared) {
  const Keys keys{.source = source_of(a, row, blockIdx.x),
                  .highest = part.highest,
                  .per_temperature = draw::per_temperature(row),
                  .weighs = row.top_p < 1.0F};
  const Range range = range_of(part.lowest, part.highest);
  const std::uint64_t last = cuts(row) ? last_key(a, row, keys, range, shared) : range.low;
  Best best = {.score = 0, .id = -1};
  keys.for_each([&](int id, float logit) {
    if (draw::key_of(logit, id) < last) return;
    if (row.min_p > 0 && logit != part.highest &&
        !(draw::weight(logit, part.highest, keys.per_temperature) >= row.min_p)) {
      return;
    }
    const draw::Words words = draw::random_words(row.seed, row.position, id / 4);
    best = better(best, {draw::score(logit, keys.per_temperature, words.word[id % 4]), id});
  });
  SamplePart joint = nothing();
  joint.score = best.score;
  joint.id = best.id;
  return block_joined(joint).id;
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
  const float floor = draw::logit_of(shared.list[0]);
  __syncthreads();  // the list is free again
  return fmaxf(floor, -FLT_MAX);
}

// Of a row whose logits are all finite.
__device__ void report_logprobs(const Args& a, const SampleRow& row, const SamplePart& part,
                                int chosen, SampledRow& out, Shared& shared) {
  const Keys keys{.source = {.logits = a.raw(blockIdx.x), .count = a.ids_of(row)},
                  .highest = part.raw_highest,
                  .per_temperature = 1.0,
                  .weighs = false};
  Sums sums = {};
  keys.for_each([&](int /*id*/, float logit) {
    sums.mass += draw::mass(draw::weight(logit, part.raw_highest, 1.0));
  });
  Sums all;
  block_scan(sums, shared, all);
  const float log_sum = draw::log_sum(all.mass);
  const auto logprob = [&](int id) {
    return draw::add(draw::add(keys.source.logits[id], -part.raw_highest), -log_sum);
  };
  const int count = min(min(row.logprobs, kLogprobsMax), keys.source.count);
  if (threadIdx.x == 0) {
    out.logprob = logprob(chosen);
    out.top_count = count;
  }
  if (count == 0) return;
  const Range range = range_of(floor_of(a, count, shared), part.raw_highest);
  fill_bins(keys, range, shared);
  const Cut cut = find_cut(keys, range, Measure::count, static_cast<std::uint64_t>(count), shared);
  fill_list(keys, {.low = cut.key, .high = range.high}, shared);
  const auto thread = static_cast<int>(threadIdx.x);
  if (thread >= count) return;
  const std::uint64_t own = shared.list[thread];
  int place = 0;
  for (int i = 0; i < count; ++i) place += shared.list[i] > own ? 1 : 0;
  out.top_ids[place] = draw::id_of(own);
  out.top_logprobs[place] = logprob(draw::id_of(own));
}

__global__ void __launch_bounds__(kThreads) choose_kernel(Args a) {
  __shared__ Shared shared;
  const SampleRow row = a.rows[blockIdx.x];
  SampledRow& out = a.out[blockIdx.x];
  const SamplePart part = whole_row(a, blockIdx.x);
  int id = part.id;
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
  choose_kernel<<<static_cast<unsigned>(a.row_count), kThreads, 0, stream>>>(a);
  return cudaGetLastError();
}

}  // namespace glm::kernels::cuda::sampling
