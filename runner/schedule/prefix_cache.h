// Pages whose rows somebody may want again: chats that go on, and beginnings that many share.
//
// The full pages of all sequences form a tree, each page below the one before it, so that a page is
// found by the whole text up to it. Tokens are compared, not hashes of them: a hash only says where
// to look. One cache belongs to one pool, so no model ever finds the rows of another.
//
//   held by a sequence and kept  ->  idle (last holder gone)  ->  dropped when pages are needed
//            ^---------------------------'  (found again)
//
// A sequence that holds a page holds all pages above it. So an idle page has idle pages below it
// only, it became idle no earlier than they did, and the page that has been idle for the longest
// has none below: it is the one that goes.
//
// Thread safety: none; it belongs to the thread of its pool.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <unordered_set>
#include <vector>

#include "base/result.h"
#include "runner/schedule/kv_blocks.h"

namespace glm::runner {

class PrefixCache final : public PageKeeper {
 public:
  // How far down the tree a sequence is: the last of its pages that is kept.
  struct Cursor {
    std::int32_t page = -1;
    std::int64_t pages = 0;  // of the sequence that are kept, from its beginning
  };

  // `seed` scatters the hashes, so that nobody can choose texts that collide.
  PrefixCache(KvPool& pool, std::uint64_t seed);
  ~PrefixCache() override;
  PrefixCache(const PrefixCache&) = delete;
  PrefixCache& operator=(const PrefixCache&) = delete;

  // Of `tokens`, the sequence's, how many are in kept pages without a gap. `cursor` is the
  // sequence's and covers the whole of its cache.
  std::int64_t match(const Cursor& cursor, std::span<const std::int32_t> tokens) const;

  // Lets the cache grow to its first `length` tokens by the pages match() has seen.
  void adopt(Cursor& cursor, KvCache& cache, std::span<const std::int32_t> tokens,
             std::int64_t length);

  // Keeps the full pages among the first `tokens.size()` tokens of the cache, whose rows are
  // written or will be before anybody reads them. Where another sequence's page says the same, the
  // cache holds that one from now on.
  void remember(Cursor& cursor, KvCache& cache, std::span<const std::int32_t> tokens);

  // Keeps no longer what only a sequence that is gone had: its rows turned out to be wrong.
  void forget(const Cursor& cursor);

  std::int64_t pages() const { return static_cast<std::int64_t>(found_.size()); }

  void page_idle(std::int32_t page) override;
  void page_busy(std::int32_t page) override;
  void give_up_one() override;

  // Errc::internal, and what is wrong, unless tree, list and pool agree.
  Status check_integrity() const;

 private:
  static constexpr std::int32_t kNone = -1;
  struct Node {
    std::int32_t parent = kNone;
    std::int32_t children = 0;
    std::int32_t newer = kNone;  // neighbours in the list of idle pages
    std::int32_t older = kNone;
    bool idle = false;
    std::array<std::int32_t, kPageTokens> tokens{};
  };
  struct Wanted {
    std::int32_t parent;
    std::span<const std::int32_t> tokens;
  };
  struct Hash {
    using is_transparent = void;
    const PrefixCache* cache;
    std::size_t operator()(std::int32_t page) const;
    std::size_t operator()(const Wanted& wanted) const;
  };
  struct Equal {
    using is_transparent = void;
    const PrefixCache* cache;
    bool operator()(std::int32_t a, std::int32_t b) const { return a == b; }
    bool operator()(const Wanted& a, std::int32_t b) const;
    bool operator()(std::int32_t a, const Wanted& b) const { return (*this)(b, a); }
  };

  Node& node(std::int32_t page) { return nodes_[static_cast<std::size_t>(page)]; }
  const Node& node(std::int32_t page) const { return nodes_[static_cast<std::size_t>(page)]; }
  std::int32_t child(std::int32_t parent, std::span<const std::int32_t> tokens) const;
  void insert(std::int32_t page, std::int32_t parent, std::span<const std::int32_t> tokens);
  void remove(std::int32_t page);
  void unlink(std::int32_t page);

  KvPool& pool_;
  const std::uint64_t seed_;
  std::vector<Node> nodes_;  // by page
  std::unordered_set<std::int32_t, Hash, Equal> found_;
  std::int32_t newest_ = kNone;  // of the idle
  std::int32_t oldest_ = kNone;
};

}  // namespace glm::runner
