// Rows of logits with settings of every kind, for the reference and for the backends that must come
// to the same bits.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include "kernels/ops/sample.h"

namespace glm::kernels::cases {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// What a row's logits look like.
enum class Look {
  bell,       // most around zero, as a model's
  steps,      // a few different values: ties everywhere
  equal,      // one value
  wide,       // all magnitudes
  banned,     // some are -infinity
  none,       // some are NaN
  infinite,   // some are +infinity
  all_never,  // -infinity, all of them
  all_none,   // NaN, all of them
};
constexpr Look kLooks[] = {Look::bell, Look::steps,    Look::equal,     Look::wide,    Look::banned,
                           Look::none, Look::infinite, Look::all_never, Look::all_none};

class SampleCase {
 public:
  SampleCase(std::mt19937& engine, std::int64_t vocab, std::size_t rows, bool plain = false)
      : vocab_(vocab), stride_(vocab + static_cast<std::int64_t>(engine() % 3)) {
    constexpr std::int64_t kTableWidth = 4;
    pages_.resize(rows * kTableWidth * kPageTokens);
    for (std::int32_t& id : pages_) id = any_id(engine);
    for (std::size_t r = 0; r < rows * kTableWidth; ++r) {
      table_.push_back(static_cast<std::int32_t>(r));
    }
    std::shuffle(table_.begin(), table_.end(), engine);
    table_width_ = kTableWidth;
    logits_.resize(rows * static_cast<std::size_t>(stride_), kNan);
    for (std::size_t r = 0; r < rows; ++r) {
      const Look look = kLooks[engine() % (plain ? 4 : std::size(kLooks))];
      looks_.push_back(look);
      for (std::int64_t i = 0; i < vocab; ++i) {
        logits_[r * static_cast<std::size_t>(stride_) + static_cast<std::size_t>(i)] =
            logit(engine, look);
      }
      rows_.push_back(row(engine, r));
    }
  }

  std::vector<float>& logits() { return logits_; }
  std::vector<SampleRow>& rows() { return rows_; }
  const std::vector<SampleRow>& rows() const { return rows_; }
  const std::vector<LogitBias>& biases() const { return biases_; }
  const std::vector<std::int32_t>& pages() const { return pages_; }
  const std::vector<std::int32_t>& table() const { return table_; }
  Look look(std::size_t r) const { return looks_[r]; }
  std::int64_t stride() const { return stride_; }

  std::vector<float> row_logits(std::size_t r) const {
    const auto count =
        static_cast<std::size_t>(std::min<std::int64_t>(vocab_, rows_[r].vocab_limit));
    const float* first = logits_.data() + r * static_cast<std::size_t>(stride_);
    return {first, first + count};
  }

  // The tokens at positions 0 .. the row's.
  std::vector<std::int32_t> history(std::size_t r) const {
    std::vector<std::int32_t> ids;
    for (std::int64_t p = 0; p <= rows_[r].position; ++p) {
      const std::int64_t page =
          table_[static_cast<std::size_t>(rows_[r].sequence * table_width_ + p / kPageTokens)];
      ids.push_back(pages_[static_cast<std::size_t>(page * kPageTokens + p % kPageTokens)]);
    }
    return ids;
  }

  // Over memory that holds copies of the vectors.
  Sample sample(SampledRow* out, const void* logits, const SampleRow* rows, void* pages,
                const void* table, const LogitBias* biases) const {
    const auto count = static_cast<std::int64_t>(rows_.size());
    const ConstTensorView all(logits, Dtype::f32, {count, stride_});
    return {.out = out,
            .logits = all.slice(1, 0, vocab_),
            .rows = rows,
            .history = {.pages = {pages,
                                  Dtype::i32,
                                  {static_cast<std::int64_t>(pages_.size()) / kPageTokens,
                                   kPageTokens}},
                        .table = {table, Dtype::i32, {count, table_width_}}},
            .biases = biases};
  }
  Sample sample(std::vector<SampledRow>& out, std::vector<std::int32_t>& pages) const {
    return sample(out.data(), logits_.data(), rows_.data(), pages.data(), table_.data(),
                  biases_.data());
  }

 private:
  static float unit(std::mt19937& engine) { return static_cast<float>(engine() >> 8U) * 0x1p-24F; }
  static float bell(std::mt19937& engine) {
    return std::normal_distribution<float>(0.0F, 3.0F)(engine);
  }
  static float logit(std::mt19937& engine, Look look) {
    const bool now_and_then = engine() % 5 == 0;
    switch (look) {
      case Look::bell:
        return bell(engine);
      case Look::steps:
        return std::round(bell(engine)) / 2;
      case Look::equal:
        return engine() % 2 == 0 ? 0.0F : -0.0F;
      case Look::wide:
        return (now_and_then ? -1.0F : 1.0F) * std::exp2(unit(engine) * 270.0F - 145.0F);
      case Look::banned:
        return now_and_then ? -kInfinity : bell(engine);
      case Look::none:
        return now_and_then ? kNan : bell(engine);
      case Look::infinite:
        return engine() % 50 == 0 ? kInfinity : bell(engine);
      case Look::all_never:
        return -kInfinity;
      case Look::all_none:
        return kNan;
    }
    return 0;
  }

  std::int32_t any_id(std::mt19937& engine) const {
    return static_cast<std::int32_t>(engine() % static_cast<std::uint64_t>(vocab_));
  }

  SampleRow row(std::mt19937& engine, std::size_t r) {
    const auto one_of = [&](std::initializer_list<float> values) {
      return values.begin()[engine() % values.size()];
    };
    SampleRow row{.seed = static_cast<std::uint64_t>(engine()) << 32U | engine(),
                  .sequence = static_cast<std::int32_t>(r),
                  .position = static_cast<std::int32_t>(engine() % 255)};
    const std::int32_t next = row.position + 1;
    if (engine() % 4 != 0) {
      row.next_cell = table_[r * 4 + static_cast<std::size_t>(next / kPageTokens)] *
                          static_cast<std::int32_t>(kPageTokens) +
                      next % static_cast<std::int32_t>(kPageTokens);
    }
    if (engine() % 4 == 0) row.vocab_limit = any_id(engine) + 1;
    row.temperature = one_of({0, 1, 1, 0.1F, 0.7F, 2, 50, 1e-30F, 1e-3F});
    if (engine() % 2 == 0) row.top_k = static_cast<std::int32_t>(one_of({1, 2, 3, 20, 50, 1e6F}));
    if (engine() % 2 == 0) row.top_p = one_of({0, 0.1F, 0.5F, 0.9F, 0.95F, 0.999F, 1});
    if (engine() % 3 == 0) row.min_p = one_of({0.01F, 0.05F, 0.5F, 1});
    if (engine() % 2 == 0) {
      row.repeat_last_n = static_cast<std::int32_t>(one_of({-1, 1, 2, 64, 100, 1000}));
      row.repeat_penalty = one_of({1, 1.1F, 2, 0.5F});
      row.presence_penalty = one_of({0, 0.5F, -1, 2});
      row.frequency_penalty = one_of({0, 0.25F, -0.5F});
    }
    if (engine() % 3 == 0) {
      row.bias_first = static_cast<std::int32_t>(biases_.size());
      std::vector<std::int32_t> ids = {-1, static_cast<std::int32_t>(vocab_)};
      for (int i = 0; i < 20; ++i) ids.push_back(any_id(engine));
      std::sort(ids.begin(), ids.end());
      ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
      for (const std::int32_t id : ids) {
        biases_.push_back({.id = id, .bias = one_of({-kInfinity, -1, 0.5F, 3, 100})});
      }
      row.bias_count = static_cast<std::int32_t>(biases_.size()) - row.bias_first;
    }
    if (engine() % 3 == 0) row.logprobs = static_cast<std::int32_t>(one_of({0, 1, 3, 20}));
    return row;
  }

  std::int64_t vocab_;
  std::int64_t stride_;
  std::int64_t table_width_ = 0;
  std::vector<float> logits_;
  std::vector<Look> looks_;
  std::vector<SampleRow> rows_;
  std::vector<LogitBias> biases_;
  std::vector<std::int32_t> pages_;
  std::vector<std::int32_t> table_;
};

}  // namespace glm::kernels::cases
