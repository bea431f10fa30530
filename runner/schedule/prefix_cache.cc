#include "runner/schedule/prefix_cache.h"

#include <algorithm>

#include "base/check.h"

namespace glm::runner {
namespace {

std::uint64_t mix(std::uint64_t hash, std::uint64_t value) {
  hash = (hash ^ value) * 0x9e3779b97f4a7c15u;
  return hash ^ (hash >> 29);
}

// The tokens of page `index`.
std::span<const std::int32_t> page_of(std::span<const std::int32_t> tokens, std::int64_t index) {
  return tokens.subspan(static_cast<std::size_t>(index * kPageTokens), kPageTokens);
}

}  // namespace

std::size_t PrefixCache::Hash::operator()(const Wanted& wanted) const {
  std::uint64_t hash = mix(cache->seed_, static_cast<std::uint32_t>(wanted.parent));
  for (const std::int32_t token : wanted.tokens)
    hash = mix(hash, static_cast<std::uint32_t>(token));
  return static_cast<std::size_t>(hash);
}

std::size_t PrefixCache::Hash::operator()(std::int32_t page) const {
  const Node& node = cache->node(page);
  return (*this)(Wanted{node.parent, node.tokens});
}

bool PrefixCache::Equal::operator()(const Wanted& a, std::int32_t b) const {
  const Node& node = cache->node(b);
  return node.parent == a.parent &&
         std::equal(a.tokens.begin(), a.tokens.end(), node.tokens.begin(), node.tokens.end());
}

PrefixCache::PrefixCache(KvPool& pool, std::uint64_t seed)
    : pool_(pool),
      seed_(seed),
      nodes_(static_cast<std::size_t>(pool.pages())),
      found_(0, Hash{this}, Equal{this}) {
  pool_.set_keeper(this);
}

PrefixCache::~PrefixCache() {
  for (const std::int32_t page : found_) pool_.drop(page);
  pool_.set_keeper(nullptr);
}

std::int32_t PrefixCache::child(std::int32_t parent, std::span<const std::int32_t> tokens) const {
  const auto it = found_.find(Wanted{parent, tokens});
  return it == found_.end() ? kNone : *it;
}

std::int64_t PrefixCache::match(const Cursor& cursor, std::span<const std::int32_t> tokens) const {
  std::int64_t pages = cursor.pages;
  std::int32_t page = cursor.page;
  const std::int64_t full = static_cast<std::int64_t>(tokens.size()) / kPageTokens;
  for (; pages < full; ++pages) {
    page = child(page, page_of(tokens, pages));
    if (page == kNone) break;
  }
  return pages * kPageTokens;
}

void PrefixCache::adopt(Cursor& cursor, KvCache& cache, std::span<const std::int32_t> tokens,
                        std::int64_t length) {
  GLM_CHECK(cache.length() == cursor.pages * kPageTokens && length % kPageTokens == 0);
  while (cache.length() < length) {
    cursor.page = child(cursor.page, page_of(tokens, cursor.pages));
    GLM_CHECK(cursor.page != kNone);
    cache.adopt(cursor.page);
    ++cursor.pages;
  }
}

void PrefixCache::remember(Cursor& cursor, KvCache& cache, std::span<const std::int32_t> tokens) {
  const auto known = std::min(static_cast<std::int64_t>(tokens.size()), cache.length());
  for (; cursor.pages < known / kPageTokens; ++cursor.pages) {
    const auto index = static_cast<std::size_t>(cursor.pages);
    const std::span<const std::int32_t> here = page_of(tokens, cursor.pages);
    const std::int32_t kept = child(cursor.page, here);
    if (kept == kNone) {
      insert(cache.pages()[index], cursor.page, here);
    } else {
      cache.exchange(index, kept);
    }
    cursor.page = cache.pages()[index];
  }
}

void PrefixCache::insert(std::int32_t page, std::int32_t parent,
                         std::span<const std::int32_t> tokens) {
  pool_.keep(page);
  Node& added = node(page);
  added = Node{};
  added.parent = parent;
  std::copy(tokens.begin(), tokens.end(), added.tokens.begin());
  if (parent != kNone) ++node(parent).children;
  found_.insert(page);
}

void PrefixCache::remove(std::int32_t page) {
  GLM_CHECK(node(page).children == 0);
  unlink(page);
  if (node(page).parent != kNone) --node(node(page).parent).children;
  found_.erase(page);
  pool_.drop(page);
}

void PrefixCache::forget(const Cursor& cursor) {
  std::int32_t page = cursor.page;
  while (page != kNone && node(page).idle && node(page).children == 0) {
    const std::int32_t parent = node(page).parent;
    remove(page);
    page = parent;
  }
}

void PrefixCache::page_idle(std::int32_t page) {
  Node& added = node(page);
  added.idle = true;
  added.older = newest_;
  added.newer = kNone;
  (newest_ == kNone ? oldest_ : node(newest_).newer) = page;
  newest_ = page;
}

void PrefixCache::page_busy(std::int32_t page) {
  unlink(page);
}

void PrefixCache::unlink(std::int32_t page) {
  Node& gone = node(page);
  GLM_CHECK(gone.idle);
  (gone.older == kNone ? oldest_ : node(gone.older).newer) = gone.newer;
  (gone.newer == kNone ? newest_ : node(gone.newer).older) = gone.older;
  gone.idle = false;
}

void PrefixCache::give_up_one() {
  GLM_CHECK(oldest_ != kNone);
  remove(oldest_);
}

Status PrefixCache::check_integrity() const {
  std::vector<std::int32_t> children(nodes_.size());
  std::int64_t idle = 0;
  for (const std::int32_t page : found_) {
    const Node& kept = node(page);
    if (!pool_.kept(page)) return make_error(Errc::internal, "page {} is found, not kept", page);
    if (kept.idle != (pool_.holders(page) == 1)) {
      return make_error(Errc::internal, "page {} with {} holders is {}", page, pool_.holders(page),
                        kept.idle ? "idle" : "busy");
    }
    if (kept.idle) ++idle;
    if (kept.parent == kNone) continue;
    if (!found_.contains(kept.parent)) {
      return make_error(Errc::internal, "page {} is below page {}, which is not kept", page,
                        kept.parent);
    }
    if (node(kept.parent).idle && !kept.idle) {
      return make_error(Errc::internal, "page {} is busy below the idle page {}", page,
                        kept.parent);
    }
    ++children[static_cast<std::size_t>(kept.parent)];
  }
  for (const std::int32_t page : found_) {
    const std::int32_t counted = children[static_cast<std::size_t>(page)];
    if (node(page).children == counted) continue;
    return make_error(Errc::internal, "page {} counts {} pages below it and has {}", page,
                      node(page).children, counted);
  }
  std::vector<bool> newer(nodes_.size());
  for (std::int32_t page = newest_; page != kNone; page = node(page).older, --idle) {
    const std::int32_t parent = node(page).parent;
    if (parent != kNone && node(parent).idle && !newer[static_cast<std::size_t>(parent)]) {
      return make_error(Errc::internal, "page {} is idle for longer than page {} below it", parent,
                        page);
    }
    newer[static_cast<std::size_t>(page)] = true;
  }
  if (idle != 0) return make_error(Errc::internal, "{} idle pages are not in the list", idle);
  return Ok{};
}

}  // namespace glm::runner
