// Which sequence gets the next stretch of work: a state machine over numbers, without tensors,
// threads or a clock.
//
//             admit: all pages of what is known           last token, cancelled
//   waiting  ------------------------------->  running  ------------------------>  gone
//            <-------------------------------
//             put back: the last in order, when a page is missing; what it has said is worked off
//             again like a prompt, and the text goes on as if nothing had happened
//
// A step is one token for every running sequence that speaks, then pieces of prompts as far as the
// budget goes. Both in one order: by priority, then by arrival. The first that runs always gets its
// pages, at the cost of the last, and the first that waits is the next to run: so every request is
// finished one day, unless more urgent ones never stop coming.
//
// A step may be planned before the tokens of the last one are read: then a sequence is `ahead`, its
// next input is known to the device only, and a token that comes for a sequence that is gone is
// dropped. Pages that go back while a step that writes to them is under way are safe as long as
// steps run in order.
//
// Prompts are cut at multiples of a unit, counted from their beginning, so that where pieces end
// depends on the prompt and not on who else runs; what the prefix cache has ends at such places as
// well.
//
// Thread safety: none.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <span>
#include <vector>

#include "base/result.h"
#include "runner/schedule/kv_blocks.h"
#include "runner/schedule/prefix_cache.h"

namespace glm::runner {

struct SchedulerLimits {
  std::int64_t running_max = 1;    // sequences; with a unit at most what a step holds
  std::int64_t waiting_max = 512;  // beyond that add() refuses
  std::int64_t step_tokens_max = 512;
  std::int64_t prompt_unit_tokens = 256;   // a multiple of kPageTokens where prefixes are kept
  std::int64_t prompt_piece_tokens = 256;  // of one sequence in a step, a multiple of the unit
  std::int64_t context_max = 0;            // tokens of one sequence, prompt and answer
};

struct NewSequence {
  std::uint64_t id = 0;  // of no other sequence here
  std::vector<std::int32_t> prompt;
  std::int64_t tokens_max = 0;  // of the answer
  std::int32_t priority = 0;    // lower ones go first
};

// One sequence's part of a step.
struct Work {
  std::uint64_t id = 0;
  std::span<const std::int32_t> tokens;  // valid until the next call that changes the scheduler
  KvCache* cache = nullptr;              // to grow by the tokens, which are reserved
  bool samples = false;                  // a token is to follow the last
  bool continues = false;  // the one token is the sequence's last sample, which nobody has read yet
  bool one_by_one = false;  // SequenceStep::one_by_one
  std::int64_t said = 0;    // tokens sampled before this step
};

struct SchedulerStats {
  std::int64_t running = 0;
  std::int64_t waiting = 0;
  // Since the beginning.
  std::uint64_t preemptions = 0;
  std::uint64_t prefix_queries = 0;  // tokens of admitted prompts
  std::uint64_t prefix_hits = 0;     // of these, found
};

class Scheduler {
 public:
  // `prefixes` is of the pool, or null. Pool and cache must outlive the scheduler and give pages to
  // nobody else.
  Scheduler(KvPool& pool, PrefixCache* prefixes, SchedulerLimits limits);
  ~Scheduler();

  // Errc::exhausted when the queue is full, Errc::invalid_argument when the prompt is empty or
  // leaves no room for an answer.
  Status add(NewSequence sequence);
  bool remove(std::uint64_t id);  // in any state; false when it is not here
  // Likewise, and what was kept of it is worth nothing.
  bool remove_spoiled(std::uint64_t id);

  // The next step: at most running_max + `prompt_tokens` tokens, the latter at least a unit. Empty
  // when nobody can go on. The caller runs it, says so by ran() and later brings the samples; or it
  // removes those whose step failed.
  std::span<const Work> plan(std::int64_t prompt_tokens);
  void ran();

  // A sample of a step that ran, in the order of the steps. False when the sequence is gone.
  bool take(std::uint64_t id, std::int32_t token);

  // What is known of a sequence that is here: prompt and tokens taken, all sampled and not taken.
  std::span<const std::int32_t> tokens(std::uint64_t id) const;
  std::int64_t generated(std::uint64_t id) const;
  bool answered(std::uint64_t id) const;               // has all tokens it may have
  std::int64_t prompt_cached(std::uint64_t id) const;  // prompt tokens nobody had to compute

  bool anyone_speaks() const;  // and would wait while prompts are worked off
  bool empty() const { return running_.empty() && waiting_.empty(); }
  SchedulerStats stats() const;

  // Errc::internal, and what is wrong.
  Status check_integrity() const;

 private:
  struct Sequence {
    Sequence(NewSequence asked, std::uint64_t number, KvPool& pool);
    // Tokens that are not in the cache yet.
    std::int64_t pending() const {
      return static_cast<std::int64_t>(tokens.size()) + ahead - cache.length();
    }
    std::int64_t said() const { return generated + ahead; }
    bool speaks() const { return said() > 0 && pending() == 1; }
    std::int64_t room_for(std::int64_t count) const;

    std::uint64_t id;
    std::int32_t priority;
    std::uint64_t arrival;
    std::int64_t prompt_tokens;
    std::int64_t tokens_max;
    std::vector<std::int32_t> tokens;  // prompt and taken samples
    KvCache cache;
    PrefixCache::Cursor cursor;
    std::int64_t generated = 0;  // taken
    std::int64_t ahead = 0;      // sampled, not taken
    std::int64_t computed = 0;   // of the tokens, at most, before it was put back
    std::int64_t prompt_cached = 0;
    bool started = false;
  };
  using Sequences = std::list<std::unique_ptr<Sequence>>;

  static bool before(const Sequence& a, const Sequence& b);
  static void insert(Sequences& into, std::unique_ptr<Sequence> sequence);
  const Sequence& at(std::uint64_t id) const;
  Sequence* find(std::uint64_t id) const;
  std::unique_ptr<Sequence> extract(std::uint64_t id);
  void admit();
  bool take_pages(Sequence& sequence);
  std::int64_t find_prefix(Sequence& sequence);
  void count_hits(Sequence& sequence, std::int64_t tokens);
  void plan_tokens();
  void plan_pieces(std::int64_t tokens_max);
  bool make_room(Sequence& sequence);
  void put_back_last();
  Work piece_of(Sequence& sequence, std::int64_t tokens_max) const;

  KvPool& pool_;
  PrefixCache* const prefixes_;
  const SchedulerLimits limits_;
  Sequences waiting_;  // both in order
  Sequences running_;
  std::vector<Work> step_;
  std::vector<Sequence*> members_;  // of the step
  std::uint64_t arrivals_ = 0;
  SchedulerStats stats_;
};

}  // namespace glm::runner
