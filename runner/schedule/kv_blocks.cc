#include "runner/schedule/kv_blocks.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace glm::runner {

KvPool::KvPool(std::int64_t pages)
    : holders_(static_cast<std::size_t>(pages)), kept_(static_cast<std::size_t>(pages)) {
  free_.reserve(holders_.size());
  for (auto page = static_cast<std::int32_t>(pages) - 1; page >= 0; --page) free_.push_back(page);
}

KvPool::~KvPool() {
  GLM_CHECK(pages_free() == pages());
}

std::int32_t KvPool::holders(std::int32_t page) const {
  GLM_CHECK(page >= 0 && page < pages());
  return holders_[static_cast<std::size_t>(page)];
}

Result<std::int32_t> KvPool::take() {
  if (free_.empty() && kept_idle_ > 0) keeper_->give_up_one();
  if (free_.empty()) {
    return make_error(Errc::exhausted, "all {} pages of the key-value memory are in use", pages());
  }
  const std::int32_t page = free_.back();
  free_.pop_back();
  holders_[static_cast<std::size_t>(page)] = 1;
  return page;
}

void KvPool::share(std::int32_t page) {
  GLM_CHECK(holders(page) > 0);
  const auto index = static_cast<std::size_t>(page);
  if (++holders_[index] == 2 && kept_[index]) {
    --kept_idle_;
    keeper_->page_busy(page);
  }
}

void KvPool::give_back(std::int32_t page) {
  GLM_CHECK(holders(page) > 0);
  const auto index = static_cast<std::size_t>(page);
  GLM_CHECK(holders_[index] > 1 || !kept_[index]);
  if (--holders_[index] == 0) {
    free_.push_back(page);
  } else if (holders_[index] == 1 && kept_[index]) {
    ++kept_idle_;
    keeper_->page_idle(page);
  }
}

void KvPool::set_keeper(PageKeeper* keeper) {
  GLM_CHECK(keeper == nullptr || keeper_ == nullptr);
  GLM_CHECK(std::none_of(kept_.begin(), kept_.end(), [](bool kept) { return kept; }));
  keeper_ = keeper;
}

void KvPool::keep(std::int32_t page) {
  GLM_CHECK(keeper_ != nullptr && holders(page) > 0 && !kept(page));
  const auto index = static_cast<std::size_t>(page);
  ++holders_[index];
  kept_[index] = true;
}

void KvPool::drop(std::int32_t page) {
  GLM_CHECK(kept(page));
  const auto index = static_cast<std::size_t>(page);
  if (holders_[index] == 1) --kept_idle_;
  kept_[index] = false;
  if (--holders_[index] == 0) free_.push_back(page);
}

bool KvPool::kept(std::int32_t page) const {
  GLM_CHECK(page >= 0 && page < pages());
  return kept_[static_cast<std::size_t>(page)];
}

Status KvPool::check_integrity() const {
  std::vector<bool> listed(holders_.size());
  for (const std::int32_t page : free_) {
    if (page < 0 || page >= pages()) {
      return make_error(Errc::internal, "page {} of {} is listed as free", page, pages());
    }
    const auto index = static_cast<std::size_t>(page);
    if (listed[index]) return make_error(Errc::internal, "page {} is free twice", page);
    if (holders_[index] != 0) {
      return make_error(Errc::internal, "page {} is free with {} holders", page, holders_[index]);
    }
    listed[index] = true;
  }
  std::int64_t idle = 0;
  for (std::size_t index = 0; index < holders_.size(); ++index) {
    if (kept_[index] && holders_[index] == 1) ++idle;
  }
  if (idle != kept_idle_) {
    return make_error(Errc::internal, "{} pages are kept and idle, {} are counted", idle,
                      kept_idle_);
  }
  for (std::size_t index = 0; index < holders_.size(); ++index) {
    if (!listed[index] && holders_[index] < 1) {
      return make_error(Errc::internal, "page {} is lost: {} holders and not free", index,
                        holders_[index]);
    }
  }
  return Ok{};
}

KvCache::KvCache(KvCache&& other) noexcept
    : pool_(other.pool_),
      pages_(std::exchange(other.pages_, {})),
      length_(std::exchange(other.length_, 0)) {}

KvCache& KvCache::operator=(KvCache&& other) noexcept {
  KvCache moved(std::move(other));  // what was held here goes back now, not with `other`
  std::swap(pool_, moved.pool_);
  std::swap(pages_, moved.pages_);
  std::swap(length_, moved.length_);
  return *this;
}

KvCache::~KvCache() {
  keep_pages(0);
}

Status KvCache::reserve(std::int64_t tokens) {
  GLM_CHECK(tokens >= 0);
  std::int64_t missing = pages_missing(tokens);
  if (missing > pool_->pages_available()) {
    return make_error(Errc::exhausted, "{} more tokens want {} pages, {} of {} are free", tokens,
                      missing, pool_->pages_available(), pool_->pages());
  }
  for (; missing > 0; --missing) pages_.push_back(GLM_TRY(pool_->take()));
  return Ok{};
}

std::int64_t KvCache::pages_missing(std::int64_t tokens) const {
  return std::max<std::int64_t>(
      0, pages_of(length_ + tokens) - static_cast<std::int64_t>(pages_.size()));
}

void KvCache::append(std::int64_t tokens) {
  GLM_CHECK(tokens >= 0 && pages_of(length_ + tokens) <= static_cast<std::int64_t>(pages_.size()));
  length_ += tokens;
}

void KvCache::adopt(std::int32_t page) {
  GLM_CHECK(length_ % kPageTokens == 0);
  pool_->share(page);
  const auto index = static_cast<std::size_t>(length_ / kPageTokens);
  if (index < pages_.size()) {
    pool_->give_back(std::exchange(pages_[index], page));
  } else {
    pages_.push_back(page);
  }
  length_ += kPageTokens;
}

void KvCache::exchange(std::size_t index, std::int32_t page) {
  GLM_CHECK(static_cast<std::int64_t>(index + 1) * kPageTokens <= length_);
  pool_->share(page);
  pool_->give_back(std::exchange(pages_[index], page));
}

void KvCache::truncate(std::int64_t length) {
  GLM_CHECK(length >= 0 && length <= length_);
  length_ = length;
  keep_pages(pages_of(length));
}

void KvCache::keep_pages(std::int64_t count) {
  while (static_cast<std::int64_t>(pages_.size()) > count) {
    pool_->give_back(pages_.back());
    pages_.pop_back();
  }
}

}  // namespace glm::runner
