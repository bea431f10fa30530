// A loaded model: token ids of many sequences in, logits out.
//
// Thread safety: one thread at a time per Model; its pools and their caches belong to that thread
// as well.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "base/result.h"
#include "runner/checkpoint/model_facts.h"
#include "runner/schedule/batch_limits.h"
#include "runner/schedule/kv_blocks.h"

namespace glm::runner {

// The next tokens of one sequence.
struct SequenceStep {
  std::span<const std::int32_t> tokens;  // at least one
  KvCache* cache = nullptr;              // grows by them
  bool wants_logits = false;             // those that follow the last token
  // Tokens that came one by one before, and are worked off again in stretches: computed so that
  // they come out as they did then.
  bool one_by_one = false;
};

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
  virtual Status forward(std::span<const SequenceStep> batch, std::span<float> logits) = 0;
};

// Appends `tokens`, however many, to one sequence, in stretches as long as a batch may be. `logits`
// as of the last token, or empty. After a failure the cache may hold some of the tokens.
Status run_tokens(Model& model, KvCache& cache, std::span<const std::int32_t> tokens,
                  std::span<float> logits);

}  // namespace glm::runner
