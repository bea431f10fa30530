#include "runner/schedule/scheduler.h"

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

#include "base/check.h"

namespace glm::runner {

Scheduler::Sequence::Sequence(NewSequence asked, std::uint64_t number, KvPool& pool)
    : id(asked.id),
      priority(asked.priority),
      arrival(number),
      prompt_tokens(static_cast<std::int64_t>(asked.prompt.size())),
      tokens_max(asked.tokens_max),
      tokens(std::move(asked.prompt)),
      cache(pool) {}

// What the last token of a step and the one sampled after it need in the cache.
std::int64_t Scheduler::Sequence::room_for(std::int64_t count) const {
  return std::min(count + 1, prompt_tokens + tokens_max - cache.length());
}

Scheduler::Scheduler(KvPool& pool, PrefixCache* prefixes, SchedulerLimits limits)
    : pool_(pool), prefixes_(prefixes), limits_(limits) {
  GLM_CHECK(limits.running_max >= 1 && limits.waiting_max >= 0);
  GLM_CHECK(limits.prompt_unit_tokens >= 1);
  GLM_CHECK(prefixes == nullptr || limits.prompt_unit_tokens % kPageTokens == 0);
  GLM_CHECK(limits.prompt_piece_tokens >= limits.prompt_unit_tokens);
  GLM_CHECK(limits.running_max - 1 + limits.prompt_unit_tokens <= limits.step_tokens_max);
  GLM_CHECK(pages_of(limits.context_max) <= pool.pages());
  step_.reserve(static_cast<std::size_t>(limits.running_max));
  members_.reserve(static_cast<std::size_t>(limits.running_max));
}

Scheduler::~Scheduler() = default;

bool Scheduler::before(const Sequence& a, const Sequence& b) {
  return std::tie(a.priority, a.arrival) < std::tie(b.priority, b.arrival);
}

void Scheduler::insert(Sequences& into, std::unique_ptr<Sequence> sequence) {
  auto at = into.end();
  while (at != into.begin() && before(*sequence, **std::prev(at))) --at;
  into.insert(at, std::move(sequence));
}

Status Scheduler::add(NewSequence sequence) {
  GLM_CHECK(find(sequence.id) == nullptr);
  const auto prompt = static_cast<std::int64_t>(sequence.prompt.size());
  if (prompt == 0 || prompt >= limits_.context_max) {
    return make_error(Errc::invalid_argument,
                      "the prompt has {} tokens, the context holds {} with at least one for the "
                      "answer",
                      prompt, limits_.context_max);
  }
  if (static_cast<std::int64_t>(waiting_.size()) >= limits_.waiting_max) {
    return make_error(Errc::exhausted, "{} requests are waiting already; try again later",
                      waiting_.size());
  }
  sequence.tokens_max =
      std::clamp<std::int64_t>(sequence.tokens_max, 1, limits_.context_max - prompt);
  insert(waiting_, std::make_unique<Sequence>(std::move(sequence), ++arrivals_, pool_));
  return Ok{};
}

Scheduler::Sequence* Scheduler::find(std::uint64_t id) const {
  for (const Sequences* some : {&running_, &waiting_}) {
    for (const auto& sequence : *some) {
      if (sequence->id == id) return sequence.get();
    }
  }
  return nullptr;
}

const Scheduler::Sequence& Scheduler::at(std::uint64_t id) const {
  const Sequence* sequence = find(id);
  GLM_CHECK(sequence != nullptr);
  return *sequence;
}

std::unique_ptr<Scheduler::Sequence> Scheduler::extract(std::uint64_t id) {
  for (Sequences* some : {&running_, &waiting_}) {
    for (auto it = some->begin(); it != some->end(); ++it) {
      if ((*it)->id != id) continue;
      std::unique_ptr<Sequence> found = std::move(*it);
      some->erase(it);
      return found;
    }
  }
  return nullptr;
}

bool Scheduler::remove(std::uint64_t id) {
  const std::unique_ptr<Sequence> gone = extract(id);
  if (gone == nullptr) return false;
  if (prefixes_ != nullptr) prefixes_->remember(gone->cursor, gone->cache, gone->tokens);
  return true;
}

bool Scheduler::remove_spoiled(std::uint64_t id) {
  std::unique_ptr<Sequence> gone = extract(id);
  if (gone == nullptr) return false;
  const PrefixCache::Cursor cursor = gone->cursor;
  gone.reset();
  if (prefixes_ != nullptr) prefixes_->forget(cursor);
  return true;
}

std::span<const Work> Scheduler::plan(std::int64_t prompt_tokens) {
  GLM_CHECK(prompt_tokens >= limits_.prompt_unit_tokens);
  step_.clear();
  members_.clear();
  admit();
  plan_tokens();
  const std::int64_t left = limits_.step_tokens_max - static_cast<std::int64_t>(step_.size());
  plan_pieces(std::min(prompt_tokens, left));
  return step_;
}

void Scheduler::admit() {
  while (!waiting_.empty() && static_cast<std::int64_t>(running_.size()) < limits_.running_max) {
    Sequence& first = *waiting_.front();
    if (first.ahead > 0) return;  // its last token is on the way
    if (!take_pages(first)) return;
    if (!std::exchange(first.started, true)) {
      stats_.prefix_queries += static_cast<std::uint64_t>(first.prompt_tokens);
    }
    insert(running_, std::move(waiting_.front()));
    waiting_.pop_front();
  }
}

// Those of all that is known at once, so that nobody starts on a prompt whose end will not fit; and
// leaves one for each that runs, so that it is not put back at once.
bool Scheduler::take_pages(Sequence& sequence) {
  const std::int64_t found = find_prefix(sequence);
  const std::int64_t room = sequence.room_for(sequence.pending());
  const auto others = static_cast<std::int64_t>(running_.size());
  if (sequence.cache.pages_missing(room) + others <= pool_.pages_available() &&
      sequence.cache.reserve(room).ok()) {
    count_hits(sequence, found);
    return true;
  }
  sequence.cache.truncate(0);
  sequence.cursor = {};
  return false;
}

// What others have computed meanwhile need not be computed again; the last token always is, for
// what follows it. Returns how many tokens of the prompt nobody computes for this sequence now.
std::int64_t Scheduler::find_prefix(Sequence& sequence) {
  const std::int64_t length = sequence.cache.length();
  if (prefixes_ == nullptr || length != sequence.cursor.pages * kPageTokens) return 0;
  const std::span<const std::int32_t> tokens(sequence.tokens);
  std::int64_t found = prefixes_->match(sequence.cursor, tokens.first(tokens.size() - 1));
  if (found < sequence.prompt_tokens) found -= found % limits_.prompt_unit_tokens;
  if (found <= length) return 0;
  prefixes_->adopt(sequence.cursor, sequence.cache, tokens, found);
  return std::max<std::int64_t>(
      0, std::min(found, sequence.prompt_tokens) - std::max(length, sequence.computed));
}

void Scheduler::count_hits(Sequence& sequence, std::int64_t tokens) {
  sequence.prompt_cached += tokens;
  stats_.prefix_hits += static_cast<std::uint64_t>(tokens);
}

void Scheduler::plan_tokens() {
  for (auto it = running_.begin(); it != running_.end(); ++it) {
    Sequence& sequence = **it;
    if (!sequence.speaks() || sequence.said() >= sequence.tokens_max) continue;
    if (!make_room(sequence)) return;  // it was the last
    const std::span<const std::int32_t> tokens(sequence.tokens);
    step_.push_back({.id = sequence.id,
                     .tokens = tokens.last(1),
                     .cache = &sequence.cache,
                     .samples = true,
                     .continues = sequence.ahead > 0,
                     .said = sequence.said()});
    members_.push_back(&sequence);
  }
}

// Room for a token and the one that follows it, at the cost of those behind; false if the sequence
// was itself the last and had to go.
bool Scheduler::make_room(Sequence& sequence) {
  while (!sequence.cache.reserve(sequence.room_for(1)).ok()) {
    const bool itself = running_.back().get() == &sequence;
    put_back_last();
    if (itself) return false;
  }
  return true;
}

void Scheduler::put_back_last() {
  Sequence& last = *running_.back();
  last.computed = std::max(last.computed, last.cache.length());
  last.cache.truncate(0);
  last.cursor = {};
  ++stats_.preemptions;
  insert(waiting_, std::move(running_.back()));
  running_.pop_back();
}

void Scheduler::plan_pieces(std::int64_t tokens_max) {
  for (const auto& sequence : running_) {
    if (sequence->speaks()) continue;
    count_hits(*sequence, find_prefix(*sequence));
    const Work piece = piece_of(*sequence, tokens_max);
    if (piece.tokens.empty()) continue;
    tokens_max -= static_cast<std::int64_t>(piece.tokens.size());
    step_.push_back(piece);
    members_.push_back(sequence.get());
  }
}

// The next tokens of a prompt, or of an answer that is worked off again; none if what is left of a
// step does not reach to a place where a prompt may be cut. The pages were taken on admission.
Work Scheduler::piece_of(Sequence& sequence, std::int64_t tokens_max) const {
  const std::int64_t done = sequence.cache.length();
  const bool in_prompt = done < sequence.prompt_tokens;
  const std::int64_t left = in_prompt ? sequence.prompt_tokens - done : sequence.pending();
  std::int64_t count = std::min({left, tokens_max, limits_.prompt_piece_tokens});
  if (in_prompt && count < left) count -= (done + count) % limits_.prompt_unit_tokens;
  count = std::max<std::int64_t>(count, 0);
  return {.id = sequence.id,
          .tokens = std::span<const std::int32_t>(sequence.tokens)
                        .subspan(static_cast<std::size_t>(done), static_cast<std::size_t>(count)),
          .cache = &sequence.cache,
          .samples = count == sequence.pending(),
          .one_by_one = !in_prompt,
          .said = sequence.said()};
}

void Scheduler::ran() {
  for (std::size_t i = 0; i < step_.size(); ++i) {
    Sequence& sequence = *members_[i];
    if (step_[i].samples) ++sequence.ahead;
    if (prefixes_ != nullptr) {
      prefixes_->remember(sequence.cursor, sequence.cache, sequence.tokens);
    }
  }
  step_.clear();
  members_.clear();
}

bool Scheduler::take(std::uint64_t id, std::int32_t token) {
  Sequence* sequence = find(id);
  if (sequence == nullptr) return false;
  GLM_CHECK(sequence->ahead > 0);
  --sequence->ahead;
  ++sequence->generated;
  sequence->tokens.push_back(token);
  return true;
}

std::span<const std::int32_t> Scheduler::tokens(std::uint64_t id) const {
  return at(id).tokens;
}

std::int64_t Scheduler::generated(std::uint64_t id) const {
  return at(id).generated;
}

bool Scheduler::answered(std::uint64_t id) const {
  return at(id).generated >= at(id).tokens_max;
}

std::int64_t Scheduler::prompt_cached(std::uint64_t id) const {
  return at(id).prompt_cached;
}

bool Scheduler::anyone_speaks() const {
  return std::any_of(running_.begin(), running_.end(),
                     [](const auto& sequence) { return sequence->speaks(); });
}

SchedulerStats Scheduler::stats() const {
  SchedulerStats stats = stats_;
  stats.running = static_cast<std::int64_t>(running_.size());
  stats.waiting = static_cast<std::int64_t>(waiting_.size());
  return stats;
}

Status Scheduler::check_integrity() const {
  GLM_TRY(pool_.check_integrity());
  if (prefixes_ != nullptr) GLM_TRY(prefixes_->check_integrity());
  if (static_cast<std::int64_t>(running_.size()) > limits_.running_max) {
    return make_error(Errc::internal, "{} sequences run, at most {} may", running_.size(),
                      limits_.running_max);
  }
  std::map<std::int32_t, std::int32_t> holders;
  for (const Sequences* some : {&running_, &waiting_}) {
    const Sequence* last = nullptr;
    for (const auto& sequence : *some) {
      const Sequence& s = *sequence;
      if (last != nullptr && !before(*last, s)) {
        return make_error(Errc::internal, "sequence {} stands behind {}", s.id, last->id);
      }
      last = &s;
      if (some == &waiting_ && !s.cache.pages().empty()) {
        return make_error(Errc::internal, "sequence {} waits with {} pages", s.id,
                          s.cache.pages().size());
      }
      if (s.pending() < 1 || s.ahead < 0 || s.said() > s.tokens_max ||
          s.cursor.pages * kPageTokens > s.cache.length()) {
        return make_error(Errc::internal,
                          "sequence {}: {} tokens, {} ahead, {} generated of {}, {} cached, {} "
                          "pages kept",
                          s.id, s.tokens.size(), s.ahead, s.generated, s.tokens_max,
                          s.cache.length(), s.cursor.pages);
      }
      for (const std::int32_t page : s.cache.pages()) ++holders[page];
    }
  }
  for (std::int32_t page = 0; page < pool_.pages(); ++page) {
    const std::int32_t known = holders[page] + (pool_.kept(page) ? 1 : 0);
    if (pool_.holders(page) == known) continue;
    return make_error(Errc::internal, "page {} has {} holders, {} are known", page,
                      pool_.holders(page), known);
  }
  return Ok{};
}

}  // namespace glm::runner
