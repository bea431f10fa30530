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
  friend class LatentCache;
  std::int64_t stride() const { return width_ + 3; }
  std::int64_t table_stride() const { return slots_ + 2; }

  std::int64_t width_;
  std::int64_t sequences_;
  std::int64_t slots_ = 0;
  std::int64_t pages_ = 0;
  std::vector<float> memory_;
  std::vector<std::int32_t> table_;
};

// The same rows and the same table, the first `latent` values of each row in fp8. Records lie 16
// bytes apart, and where no row lies every byte is 0xFF: NaN, whichever part it is read as.
class LatentCache {
 public:
  LatentCache(PagedCache& cache, std::int64_t latent)
      : cache_(cache), layout_{.latent = latent, .rope = cache.width_ - latent} {
    const std::int64_t bytes = cache.pages_ * kPageTokens * stride();
    memory_ =
        std::vector<Chunk>(static_cast<std::size_t>(bytes) / sizeof(Chunk), Chunk{~0ULL, ~0ULL});
    for (std::int64_t place = 0; place < cache.pages_ * kPageTokens; ++place) {
      float* row = cache.memory_.data() + place * cache.stride();
      if (std::isnan(row[0])) continue;
      std::uint8_t* record = bytes_of(place);
      encode(layout_, row, record);
      decode(layout_, record, cache.width_, row);
    }
  }

  // The cache it was made of has the values of the records now.
  PagedRows rows() {
    PagedRows rows = cache_.rows();
    rows.pages = {memory_.data(), Dtype::u8, {cache_.pages_, kPageTokens, layout_.size_bytes()}};
    rows.pages.strides = {kPageTokens * stride(), stride(), 1};
    rows.fp8_latent = layout_.latent;
    return rows;
  }
  const LatentRecord& layout() const { return layout_; }
  const std::uint8_t* record(std::int64_t sequence, std::int64_t position) {
    return bytes_of((cache_.row(sequence, position) - cache_.memory_.data()) / cache_.stride());
  }

 private:
  struct alignas(16) Chunk {
    std::uint64_t low, high;
  };
  std::int64_t stride() const { return layout_.size_bytes() + 16; }
  std::uint8_t* bytes_of(std::int64_t place) {
    return reinterpret_cast<std::uint8_t*>(memory_.data()) + place * stride();
  }

  PagedCache& cache_;
  LatentRecord layout_;
  std::vector<Chunk> memory_;
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
