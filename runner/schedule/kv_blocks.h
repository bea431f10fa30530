// Who holds which page of the key-value memory: bookkeeping only, no tensor in sight.
//
// A pool is a number of equal pages, each free or held by one or more sequences. A sequence's cache
// is its page table: row p of the sequence lies in page pages()[p / kPageTokens]. Pages that are
// full never change again, so that several sequences with the same beginning can hold the same
// ones; only a page with one holder may be written.
//
// Thread safety: none; pool and caches belong to the thread that drives the model.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "kernels/ops/paged_rows.h"

namespace glm::runner {

inline constexpr std::int64_t kPageTokens = kernels::kPageTokens;

constexpr std::int64_t pages_of(std::int64_t tokens) {
  return (tokens + kPageTokens - 1) / kPageTokens;
}

// Somebody who holds pages for later and gives them up when they are needed: the prefix cache.
class PageKeeper {
 public:
  virtual ~PageKeeper() = default;
  virtual void page_idle(std::int32_t page) = 0;  // nobody else holds it any more
  virtual void page_busy(std::int32_t page) = 0;  // somebody took it up again
  virtual void give_up_one() = 0;                 // drops one idle page; there is one
};

// The model whose memory the pages are derives from it. Every page must be free when it goes.
class KvPool {
 public:
  explicit KvPool(std::int64_t pages);
  virtual ~KvPool();
  KvPool(const KvPool&) = delete;
  KvPool& operator=(const KvPool&) = delete;

  std::int64_t pages() const { return static_cast<std::int64_t>(holders_.size()); }
  std::int64_t pages_free() const { return static_cast<std::int64_t>(free_.size()); }
  // Free, or kept and idle: what take() can hand out.
  std::int64_t pages_available() const { return pages_free() + kept_idle_; }
  std::int32_t holders(std::int32_t page) const;

  // A free page, now with one holder; the keeper gives one up where none is free. Errc::exhausted
  // when there is none either.
  Result<std::int32_t> take();
  // One holder more, one holder fewer, of a page that has some. Without holders it is free.
  void share(std::int32_t page);
  void give_back(std::int32_t page);

  // At most one keeper, which must drop() all it keeps before it goes. keep() makes it one more
  // holder of a page, drop() takes that back.
  void set_keeper(PageKeeper* keeper);
  void keep(std::int32_t page);
  void drop(std::int32_t page);
  bool kept(std::int32_t page) const;

  // Errc::internal, and what is wrong, unless every page is either free or held, and listed once.
  Status check_integrity() const;

 private:
  std::vector<std::int32_t> free_;     // the last one is taken next: its memory is warm
  std::vector<std::int32_t> holders_;  // by page
  PageKeeper* keeper_ = nullptr;
  std::vector<bool> kept_;  // by page
  std::int64_t kept_idle_ = 0;
};

// What a model remembers of one sequence. Must not outlive its pool.
class KvCache {
 public:
  explicit KvCache(KvPool& pool) : pool_(&pool) {}
  KvCache(KvCache&& other) noexcept;
  KvCache& operator=(KvCache&& other) noexcept;
  ~KvCache();

  KvPool& pool() const { return *pool_; }
  std::int64_t length() const { return length_; }  // tokens stored
  std::span<const std::int32_t> pages() const { return pages_; }

  // Takes the pages that `tokens` more tokens need. Errc::exhausted: nothing has changed.
  Status reserve(std::int64_t tokens);
  std::int64_t pages_missing(std::int64_t tokens) const;  // that reserve() would take

  // The model's word that the rows of `tokens` more tokens are written; they must be reserved.
  void append(std::int64_t tokens);

  // The next kPageTokens tokens are the ones of `page`, which somebody else has written: one holder
  // more for it. length() must be a multiple of kPageTokens; a page reserved there goes back.
  void adopt(std::int32_t page);

  // `page` instead of the one at `index`, which is full; both hold the same rows.
  void exchange(std::size_t index, std::int32_t page);

  // Forgets what lies behind the first `length` tokens, and what was reserved behind them: a shared
  // prefix stays, a rejected draft goes. `length` must not exceed length().
  void truncate(std::int64_t length);

 private:
  void keep_pages(std::int64_t count);

  KvPool* pool_;
  std::vector<std::int32_t> pages_;
  std::int64_t length_ = 0;
};

}  // namespace glm::runner
