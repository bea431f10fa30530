// Requests in, events out: the scheduler's steps run over a model.
//
// A step is enqueued before the tokens of the one before it are read (`steps_ahead`), so that a GPU
// goes from one to the next without waiting for the host. What that costs is a token computed for
// nothing when a sequence ends by what it said: it is dropped.
//
//   step i     plan, submit ........ collect: tokens, stops, events
//   step i+1            plan, submit ........ collect
//
// Knows no thread, clock or socket of its own: runner/process.cc drives it.
//
// Thread safety: none; one thread drives it.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "runner/frames.h"
#include "runner/models/model.h"
#include "runner/schedule/prompt_budget.h"
#include "runner/schedule/scheduler.h"

namespace glm::runner {

struct EngineLimits {
  // At most what a batch of the model holds beside a piece of a prompt.
  std::size_t running_max = 8;
  std::size_t waiting_max = 512;
  // Where prompts may be cut, and the largest piece of one in a step. Equal for a backend whose
  // results are the same bits in any company: then a prompt is always cut in the same way.
  std::int64_t prompt_unit_tokens = 256;
  std::int64_t prompt_piece_tokens = 256;
  std::int64_t context_max = 0;  // tokens of one sequence, prompt and answer; at most the pool's
  std::chrono::duration<double> step{0.05};  // what those who speak should wait at most
  std::size_t steps_ahead = 0;               // 1 for a device that works while the host does
  bool prefix_cache = true;                  // needs a unit of whole pages
};

// What suits the backend, whatever memory there is.
EngineLimits engine_limits(const Model& model, bool gpu);

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

  bool idle() const { return scheduler_.empty() && in_flight_.empty() && pending_.empty(); }

  // Enqueues a step over all running sequences, and returns what has come of those before.
  std::vector<RequestEvent> step();

  EngineStats stats() const;
  Status check_integrity() const { return scheduler_.check_integrity(); }

  // A device that has failed once computes nothing right any more: whoever drives the engine hands
  // out the events of the step and ends the process.
  bool device_failed() const { return !device_failure_.empty(); }
  const std::string& device_failure() const { return device_failure_; }

 private:
  struct Request {
    GenerateRequest asked;     // its prompt is the scheduler's
    SamplingOptions silenced;  // the options, while no stop id may be sampled
    std::optional<Clock::Steady> started;
    Clock::Steady first_token;
  };
  struct InFlight {
    std::vector<std::uint64_t> samples;  // whose, in the order of the batch
    std::int64_t prompt_tokens = 0;
  };

  Status check_request(const GenerateRequest& request) const;
  bool submit_step(std::vector<RequestEvent>& events);
  void collect(std::vector<RequestEvent>& events);
  void take(std::uint64_t id, const Sampled& sample, std::vector<RequestEvent>& events);
  void finish(std::uint64_t id, FinishReason reason, RequestEvent& event);
  void fail(std::uint64_t id, const Error& error, std::vector<RequestEvent>& events);
  void fail_device(const Error& error, std::vector<RequestEvent>& events);

  Model& model_;
  KvPool& pool_;
  const EngineLimits limits_;
  Clock& clock_;
  std::optional<PrefixCache> prefixes_;
  Scheduler scheduler_;
  PromptBudget budget_;
  EngineStats counted_;  // its counters of tokens only
  std::map<std::uint64_t, Request> requests_;
  std::deque<InFlight> in_flight_;
  Clock::Steady last_step_;            // when the last one was collected, or work began
  std::vector<RequestEvent> pending_;  // to be handed out by the next step
  std::vector<SequenceStep> batch_;
  std::string device_failure_;
};

}  // namespace glm::runner
