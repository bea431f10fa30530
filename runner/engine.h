// The loop's body: which sequence gets the next stretch of work, and what came of it.
//
// Each step is one batch: a token for every running sequence, and for at most one of them a chunk
// of its prompt instead, so that a long prompt delays the others by one chunk only. Sequences
// beyond the limits, or without pages for their prompt, wait in the order they came.
//
//              admit                        last token
//   waiting  --------->  running (prompt, then tokens)  --------->  finished
//            <---------
//             put back: the youngest, when a page is missing; what it has said is worked off again
//             like a prompt, and the text goes on as if nothing had happened
//
// Running sequences are ordered by arrival, and all of them came before all that wait. The oldest
// always gets its pages, so every request is finished one day.
//
// Knows no thread, clock or socket of its own: runner/process.cc drives it.
//
// Thread safety: none; one thread drives it.
#pragma once

#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <vector>

#include "base/clock.h"
#include "runner/frames.h"
#include "runner/models/model.h"
#include "runner/sample/sampler.h"

namespace glm::runner {

struct EngineLimits {
  std::size_t running_max = 8;  // at most what a batch of the model holds beside a chunk
  std::size_t waiting_max = 512;
  std::int64_t prompt_chunk_tokens = 256;
  std::int64_t context_max = 0;  // tokens of one sequence, prompt and answer; at most the pool's
};

class Engine {
 public:
  // `pool` is the model's; nobody else takes pages from it.
  Engine(Model& model, KvPool& pool, EngineLimits limits, Clock& clock);

  // What cannot be run is answered by an event with FinishReason::failed at the next step:
  // Errc::exhausted when the queue is full, Errc::invalid_argument for a prompt that does not fit
  // or holds an id the model does not know.
  void submit(GenerateRequest request);

  // Answered by an event with FinishReason::cancelled, unless the request is already finished.
  void cancel(std::uint64_t id);

  EngineStats stats() const;
  bool idle() const { return waiting_.empty() && running_.empty() && pending_.empty(); }

  // One step over all running sequences.
  std::vector<RequestEvent> step();

  // A device that has failed once computes nothing right any more: whoever drives the engine hands
  // out the events of the step and ends the process.
  bool device_failed() const { return !device_failure_.empty(); }
  const std::string& device_failure() const { return device_failure_; }

 private:
  struct Sequence {
    Sequence(GenerateRequest asked, KvPool& pool);
    std::int64_t pending() const {  // tokens that are known and not in the cache yet
      return static_cast<std::int64_t>(history.size()) - cache.length();
    }
    // Neither a fresh prompt nor an answer to be worked off again: one token a step.
    bool speaks() const { return generated > 0 && pending() == 1; }

    std::int64_t prompt_tokens;
    std::vector<std::int32_t> history;  // prompt and generated tokens
    GenerateRequest request;            // its prompt has become the history
    KvCache cache;
    Sampler sampler;
    std::int64_t generated = 0;
    bool admitted_before = false;
    Clock::Steady started;
    Clock::Steady first_token;
  };

  Status check_request(const GenerateRequest& request) const;
  void admit();
  void plan();
  bool make_room(std::size_t index, std::int64_t tokens);
  void put_back_youngest();
  SequenceStep chunk_of(Sequence& sequence) const;
  void run(std::vector<RequestEvent>& events);
  bool take_token(Sequence& sequence, std::span<float> logits, std::vector<RequestEvent>& events);
  void finish(const Sequence& sequence, RequestEvent event, std::vector<RequestEvent>& events);
  void fail(std::uint64_t id, Error error);

  Model& model_;
  KvPool& pool_;
  const EngineLimits limits_;
  Clock& clock_;
  std::deque<Sequence> waiting_;
  std::vector<Sequence> running_;
  std::vector<RequestEvent> pending_;  // to be handed out by the next step
  std::vector<SequenceStep> batch_;    // of this step
  std::vector<std::size_t> members_;   // of running_, in the order of the batch
  std::vector<float> logits_;
  EngineStats counted_;  // its counters only
  std::string device_failure_;
};

// Generates a few tokens from a fixed prompt. Errc::internal when logits are not finite: a model
// that loads and cannot generate is not ready.
Status smoke_test(Model& model, KvPool& pool);

}  // namespace glm::runner
