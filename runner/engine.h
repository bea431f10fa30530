// The loop's body: which sequence gets the next stretch of work, and what came of it.
//
// Each step gives every running sequence one token, and at most one sequence a chunk of its prompt,
// so that a long prompt delays the others by one chunk only. Sequences beyond the limits wait in
// the order they came. Knows no thread, clock or socket of its own: runner/process.cc drives it.
//
// Thread safety: none; one thread drives it.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "base/clock.h"
#include "runner/frames.h"
#include "runner/models/model.h"
#include "runner/sample/sampler.h"

namespace glm::runner {

struct EngineLimits {
  std::size_t running_max = 8;
  std::size_t waiting_max = 512;
  std::int64_t prompt_chunk_tokens = 256;
  std::int64_t context_max = 0;  // tokens of one sequence, prompt and answer
};

class Engine {
 public:
  Engine(Model& model, EngineLimits limits, Clock& clock);

  // What cannot be run is answered by an event with FinishReason::failed at the next step:
  // Errc::exhausted when the queue is full, Errc::invalid_argument for a prompt that does not fit.
  void submit(GenerateRequest request);

  // Answered by an event with FinishReason::cancelled, unless the request is already finished.
  void cancel(std::uint64_t id);

  bool idle() const { return waiting_.empty() && running_.empty() && pending_.empty(); }

  // One step over all running sequences.
  std::vector<RequestEvent> step();

 private:
  struct Sequence {
    GenerateRequest request;
    std::unique_ptr<KvCache> cache;
    std::unique_ptr<Sampler> sampler;
    std::vector<std::int32_t> history;  // prompt and generated tokens
    std::int64_t prefilled = 0;
    std::int64_t generated = 0;
    Clock::Steady started;
    Clock::Steady first_token;
  };

  void admit();
  // Advances one sequence; true when it is finished.
  bool advance(Sequence& sequence, std::vector<RequestEvent>& events);
  Status prefill(Sequence& sequence);
  void finish(const Sequence& sequence, RequestEvent event, std::vector<RequestEvent>& events);
  void fail(std::uint64_t id, Error error);

  Model& model_;
  const EngineLimits limits_;
  Clock& clock_;
  std::deque<GenerateRequest> waiting_;
  std::vector<Sequence> running_;
  std::vector<RequestEvent> pending_;  // to be handed out by the next step
  std::vector<float> logits_;
  bool chunk_spent_ = false;  // this step's one prompt chunk
};

// Generates a few tokens from a fixed prompt. Errc::internal when logits are not finite: a model
// that loads and cannot generate is not ready.
Status smoke_test(Model& model);

}  // namespace glm::runner
