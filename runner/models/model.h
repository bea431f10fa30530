// A loaded model: token ids of many sequences in, the next token of each out; or logits.
//
// Thread safety: one thread at a time per Model; its pools and their caches belong to that thread
// as well.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "base/result.h"
#include "kernels/ops/sample.h"
#include "runner/checkpoint/model_facts.h"
#include "runner/sample/sampling_options.h"
#include "runner/schedule/batch_limits.h"
#include "runner/schedule/kv_blocks.h"

namespace glm::runner {

// The next tokens of one sequence.
struct SequenceStep {
  std::span<const std::int32_t> tokens = {};  // at least one; none where it continues
  KvCache* cache = nullptr;                   // grows by them
  bool wants_logits = false;                  // forward(): those that follow the last token
  // Tokens that came one by one before, and are worked off again in stretches: computed so that
  // they come out as they did then.
  bool one_by_one = false;
  // The step's one token is the one that was sampled for this sequence last, which the host need
  // not know yet.
  bool continues = false;
  // submit(): how the token that follows the last one is chosen. Null: none is wanted. Read before
  // submit() returns.
  const SamplingOptions* sampling = nullptr;

  std::int64_t count() const { return continues ? 1 : static_cast<std::int64_t>(tokens.size()); }
};

// A token, whether its logits were finite, and logprobs where they were asked for.
using Sampled = kernels::SampledRow;

// When the device began a step and when it had ended it: nanoseconds of its clock.
struct StepTimes {
  std::uint64_t began_ns = 0;
  std::uint64_t ended_ns = 0;
};

// Submitted and not collected.
inline constexpr std::size_t kStepsInFlightMax = 2;

class Model {
 public:
  virtual ~Model() = default;
  virtual const ModelFacts& facts() const = 0;
  virtual std::uint64_t weight_bytes() const = 0;  // in memory
  virtual BatchLimits batch_limits() const = 0;

  virtual std::uint64_t page_bytes() const = 0;         // of one page in all layers
  virtual std::uint64_t memory_free_bytes() const = 0;  // where pages would lie; 0: unknown

  // Must not outlive the model. Errc::exhausted if the memory is not there.
  virtual Result<std::unique_ptr<KvPool>> make_pool(std::int64_t pages) = 0;

  // Appends each step's tokens to the sequence in its cache. `logits` is [steps that want them,
  // vocab_size], in the order of the batch. Caches are of one pool of this model, each at most
  // once.
  //
  // A sequence's logits do not depend on the others of the batch: bit for bit on the CPU, where a
  // GPU may choose its kernels by the number of tokens. Splitting a prompt over several calls gives
  // the same result to within rounding.
  //
  // Errc::invalid_argument: a batch beyond the limits, no tokens, an id outside the vocabulary,
  // more than the model's context, a wrong `logits` size. Errc::exhausted: the pool has not the
  // pages. Either way every cache is as it was.
  // No step may be in flight.
  virtual Status forward(std::span<const SequenceStep> batch, std::span<float> logits) = 0;

  // Asks for a whole step, sampling included, and returns while the device may still be at the ones
  // before; at most kStepsInFlightMax of them. Caches grow at once. Batch, failures and what
  // happens then are those of forward(), and Errc::invalid_argument: too many biases, or one that
  // is no number to add. Errc::device: nothing is right any more.
  //
  // A sequence continues with its sampled token if the page of that token's position was reserved
  // when the step that samples it was submitted (KvCache::reserve, one token more than the step
  // has). Pages may be given back while a step in flight still uses them: whoever takes them is
  // later in order.
  virtual Status submit(std::span<const SequenceStep> batch) = 0;

  // Waits for the oldest step in flight; there must be one. One token for each of its sequences
  // that has sampling options, in the order of the batch; valid until the next collect().
  // Errc::device.
  virtual Result<std::span<const Sampled>> collect() = 0;
  virtual StepTimes collected_times() const { return {}; }  // of that step, where it is known
};

// Appends `tokens`, however many, to one sequence, in stretches as long as a batch may be. `logits`
// as of the last token, or empty. After a failure the cache may hold some of the tokens.
Status run_tokens(Model& model, KvCache& cache, std::span<const std::int32_t> tokens,
                  std::span<float> logits);

}  // namespace glm::runner
