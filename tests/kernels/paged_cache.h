// Cached rows of several sequences in pages, laid out as badly as the contract allows: pages in
// random order, gaps between rows, NaN wherever no row lies, nonsense in every entry of the table
// that no position needs.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <random>
#include <vector>

#include "kernels/ops/paged_rows.h"

namespace glm::kernels {

class PagedCache {
 public:
  // Room for lengths[s] rows of sequence s, all NaN.
  PagedCache(std::mt19937& random, std::int64_t width, const std::vector<std::int64_t>& lengths)
      : width_(width), sequences_(static_cast<std::int64_t>(lengths.size())) {
    std::int64_t used = 0;
    for (const std::int64_t length : lengths) {
      const std::int64_t slots = (length + kPageTokens - 1) / kPageTokens;
      slots_ = std::max(slots_, slots);
      used += slots;
    }
    pages_ = used + 3;
    std::vector<std::int32_t> order(static_cast<std::size_t>(pages_));
    std::iota(order.begin(), order.end(), 0);
    std::shuffle(order.begin(), order.end(), random);
    memory_.assign(static_cast<std::size_t>(pages_ * kPageTokens * stride()), NAN);
    table_.assign(static_cast<std::size_t>(sequences_ * table_stride()), -1234567);
    for (std::int64_t s = 0; s < sequences_; ++s) {
      const std::int64_t length = lengths[static_cast<std::size_t>(s)];
      for (std::int64_t slot = 0; slot * kPageTokens < length; ++slot) {
        table_[static_cast<std::size_t>(s * table_stride() + slot)] = order.back();
        order.pop_back();
      }
    }
  }

  PagedRows rows() {
    PagedRows rows{
        .pages = {memory_.data(), Dtype::f32, {pages_, kPageTokens, width_}},
        .table = {table_.data(), Dtype::i32, {sequences_, slots_}},
    };
    rows.pages.strides = {kPageTokens * stride(), stride(), 1};
    rows.table.strides = {table_stride(), 1};
    return rows;
  }

  float* row(std::int64_t sequence, std::int64_t position) {
    const std::int64_t page =
        table_[static_cast<std::size_t>(sequence * table_stride() + position / kPageTokens)];
    return memory_.data() + (page * kPageTokens + position % kPageTokens) * stride();
  }

  // The rows of one sequence, one after the other.
  void fill(std::int64_t sequence, const std::vector<float>& rows) {
    for (std::int64_t p = 0; p * width_ < static_cast<std::int64_t>(rows.size()); ++p) {
      std::copy_n(rows.data() + p * width_, width_, row(sequence, p));
    }
  }

  const std::vector<float>& memory() const { return memory_; }

 private:
  std::int64_t stride() const { return width_ + 3; }
  std::int64_t table_stride() const { return slots_ + 2; }

  std::int64_t width_;
  std::int64_t sequences_;
  std::int64_t slots_ = 0;
  std::int64_t pages_ = 0;
  std::vector<float> memory_;
  std::vector<std::int32_t> table_;
};

// Which token stands where.
struct StepList {
  std::vector<std::int32_t> sequence;
  std::vector<std::int32_t> position;

  void add(std::int64_t of, std::int64_t at) {
    sequence.push_back(static_cast<std::int32_t>(of));
    position.push_back(static_cast<std::int32_t>(at));
  }
  std::int64_t size() const { return static_cast<std::int64_t>(sequence.size()); }
  StepTokens tokens() const {
    std::int32_t last = -1;
    for (const std::int32_t at : position) last = std::max(last, at);
    return {.sequence = {sequence.data(), Dtype::i32, {size()}},
            .position = {position.data(), Dtype::i32, {size()}},
            .positions_max = last + 1};
  }
};

// The last `tokens` of `positions` positions of the only sequence.
inline StepList last_tokens(std::int64_t tokens, std::int64_t positions) {
  StepList list;
  for (std::int64_t t = 0; t < tokens; ++t) list.add(0, positions - tokens + t);
  return list;
}

}  // namespace glm::kernels
