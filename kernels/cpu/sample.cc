#include <algorithm>
#include <functional>
#include <vector>

#include "kernels/cpu/ops.h"
#include "kernels/cpu/page_ids.h"
#include "kernels/draw.h"

namespace glm::kernels::cpu {
namespace {

using Keys = std::vector<std::uint64_t>;

std::span<const float> raw_logits(const Sample& a, std::int64_t r) {
  const std::int64_t count = std::min<std::int64_t>(a.logits.size(1), a.rows[r].vocab_limit);
  GLM_CHECK(count >= 1);
  return {a.logits.as<float>() + r * a.logits.stride(0), static_cast<std::size_t>(count)};
}

// How often each id is among the last tokens that the row's penalties look at.
std::vector<std::uint32_t> occurrences(const Sample& a, const SampleRow& row, std::size_t vocab) {
  std::vector<std::uint32_t> times(vocab);
  if (!draw::penalizes(row)) return times;
  const std::int64_t all = static_cast<std::int64_t>(row.position) + 1;
  const std::int64_t seen =
      row.repeat_last_n < 0 ? all : std::min<std::int64_t>(all, row.repeat_last_n);
  for (std::int64_t p = all - seen; p < all; ++p) {
    const std::int32_t id = *page_id(a.history, row.sequence, p);
    if (id >= 0 && static_cast<std::size_t>(id) < vocab) ++times[static_cast<std::size_t>(id)];
  }
  return times;
}

std::vector<float> adjusted_logits(const Sample& a, const SampleRow& row,
                                   std::span<const float> raw) {
  std::vector<float> bias(raw.size());
  for (std::int32_t i = row.bias_first; i < row.bias_first + row.bias_count; ++i) {
    const auto [id, value] = a.biases[i];
    if (id >= 0 && static_cast<std::size_t>(id) < raw.size()) {
      bias[static_cast<std::size_t>(id)] = value;
    }
  }
  const std::vector<std::uint32_t> times = occurrences(a, row, raw.size());
  std::vector<float> logits(raw.begin(), raw.end());
  for (std::size_t id = 0; id < raw.size(); ++id) {
    logits[id] = draw::adjusted(row, raw[id], bias[id], times[id]);
  }
  return logits;
}

std::vector<std::uint64_t> keys_of(std::span<const float> logits) {
  Keys keys;
  keys.reserve(logits.size());
  for (std::size_t id = 0; id < logits.size(); ++id) {
    keys.push_back(draw::key_of(logits[id], static_cast<std::int32_t>(id)));
  }
  return keys;
}

// Those that top_k, top_p and min_p leave, in no particular order.
Keys kept(const SampleRow& row, Keys keys, float top) {
  const double per_temperature = draw::per_temperature(row);
  const auto weight = [&](std::uint64_t key) {
    return draw::weight(draw::logit_of(key), top, per_temperature);
  };
  if (row.top_k > 0 && static_cast<std::size_t>(row.top_k) < keys.size()) {
    std::nth_element(keys.begin(), keys.begin() + row.top_k - 1, keys.end(), std::greater<>());
    keys.resize(static_cast<std::size_t>(row.top_k));
  }
  if (row.top_p < 1.0F) {
    std::uint64_t all = 0;
    for (const std::uint64_t key : keys) all += draw::mass(weight(key));
    const std::uint64_t wanted = draw::mass_wanted(row.top_p, all);
    std::make_heap(keys.begin(), keys.end());
    auto rest = keys.end();  // what has been taken lies behind it
    std::uint64_t sum = 0;
    while (sum < wanted) {
      std::pop_heap(keys.begin(), rest);
      sum += draw::mass(weight(*--rest));
    }
    keys.erase(keys.begin(), rest);
  }
  if (row.min_p > 0) {
    std::erase_if(keys, [&](std::uint64_t key) {
      return draw::logit_of(key) != top && !(weight(key) >= row.min_p);
    });
  }
  return keys;
}

std::int32_t choose(const SampleRow& row, std::span<const float> logits) {
  Keys keys = keys_of(logits);
  const std::uint64_t best = *std::max_element(keys.begin(), keys.end());
  const float top = draw::logit_of(best);
  if (!draw::draws(row) || !draw::is_finite(top)) return draw::id_of(best);
  if (draw::filters(row)) keys = kept(row, std::move(keys), top);
  const double per_temperature = draw::per_temperature(row);
  double highest = 0;
  std::int32_t winner = -1;
  std::int32_t group = -1;  // of ids that share random words
  draw::Words words = {};
  for (const std::uint64_t key : keys) {
    const std::int32_t id = draw::id_of(key);
    if (id / 4 != group) {
      group = id / 4;
      words = draw::random_words(row.seed, row.position, group);
    }
    const double score = draw::score(draw::logit_of(key), per_temperature, words.word[id % 4]);
    if (winner < 0 || score > highest || (score == highest && id < winner)) {
      highest = score;
      winner = id;
    }
  }
  return winner;
}

void report_logprobs(const SampleRow& row, std::span<const float> raw, SampledRow& out) {
  Keys keys = keys_of(raw);
  const auto count =
      std::min(static_cast<std::size_t>(std::min(row.logprobs, kLogprobsMax)), keys.size());
  const float top = *std::max_element(raw.begin(), raw.end());
  std::uint64_t sum = 0;
  for (const float logit : raw) sum += draw::mass(draw::weight(logit, top, 1.0));
  const float log_sum = draw::log_sum(sum);
  const auto logprob = [&](std::int32_t id) {
    return draw::add(draw::add(raw[static_cast<std::size_t>(id)], -top), -log_sum);
  };
  out.logprob = logprob(out.id);
  out.top_count = static_cast<std::int32_t>(count);
  std::partial_sort(keys.begin(), keys.begin() + static_cast<std::ptrdiff_t>(count), keys.end(),
                    std::greater<>());
  for (std::size_t i = 0; i < count; ++i) {
    out.top_ids[i] = draw::id_of(keys[i]);
    out.top_logprobs[i] = logprob(out.top_ids[i]);
  }
}

void sample_row(const Sample& a, std::int64_t r) {
  const SampleRow& row = a.rows[r];
  const std::span<const float> raw = raw_logits(a, r);
  SampledRow out;
  out.id = choose(row, adjusted_logits(a, row, raw));
  out.finite = std::all_of(raw.begin(), raw.end(), draw::is_finite) ? 1 : 0;
  if (row.logprobs >= 0 && out.finite == 1) report_logprobs(row, raw, out);
  if (row.next_cell >= 0) {
    GLM_CHECK(row.next_cell < a.history.pages.size(0) * kPageTokens);
    a.history.pages.as<std::int32_t>()[row.next_cell] = out.id;
  }
  a.out[r] = out;
}

}  // namespace

void sample(ThreadPool& pool, const Sample& a) {
  check(a);
  constexpr std::int64_t kOperationsPerLogit = 64;
  const std::int64_t rows = a.logits.size(0);
  pool.for_ranges(rows, 1, rows * a.logits.size(1) * kOperationsPerLogit,
                  [&](std::int64_t first, std::int64_t end) {
                    for (std::int64_t r = first; r < end; ++r) sample_row(a, r);
                  });
}

}  // namespace glm::kernels::cpu
