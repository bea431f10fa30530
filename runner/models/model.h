// A loaded model: token ids in, logits out.
//
// Thread safety: one thread at a time per Model; caches of one model belong to that thread as well.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "base/result.h"
#include "runner/checkpoint/model_facts.h"

namespace glm::runner {

// What a model remembers of one sequence. Belongs to the model that made it and must not outlive
// it.
class KvCache {
 public:
  virtual ~KvCache() = default;
  virtual std::int64_t length() const = 0;      // tokens stored
  virtual std::int64_t tokens_max() const = 0;  // room
  virtual std::uint64_t size_bytes() const = 0;

  // Forgets what lies behind the first `length` tokens: a shared prefix stays, a rejected draft
  // goes. `length` must not exceed length().
  virtual void truncate(std::int64_t length) = 0;
};

class Model {
 public:
  virtual ~Model() = default;
  virtual const ModelFacts& facts() const = 0;
  virtual std::uint64_t weight_bytes() const = 0;  // in memory

  // Errc::exhausted if the memory is not there; Errc::invalid_argument for less than one token or
  // more than the model's context.
  virtual Result<std::unique_ptr<KvCache>> make_cache(std::int64_t tokens_max) const = 0;

  // Appends `tokens` to the sequence in `cache` and writes the logits that follow the last of them.
  // Splitting a prompt into several calls gives the same result as one call. `logits` holds
  // facts().vocab_size values, or is empty when nobody will look at them.
  // Errc::invalid_argument: no tokens, an id outside the vocabulary, a wrong `logits` size.
  // Errc::exhausted: the cache has no room. On failure before any work the cache is unchanged.
  virtual Status forward(std::span<const std::int32_t> tokens, KvCache& cache,
                         std::span<float> logits) = 0;
};

}  // namespace glm::runner
