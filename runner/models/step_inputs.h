// What the device is told of a batch: ids, places, page tables and how tokens are chosen, as one
// block of 32-bit words that goes up in one piece, once per step and not once per layer.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "kernels/ops.h"
#include "runner/models/attention.h"
#include "runner/models/device_array.h"
#include "runner/models/model.h"

namespace glm::runner {

// What comes behind the layers: logits of the steps that want_logits, or a token of each that has
// sampling options.
enum class StepEnd { logits, tokens };

inline bool wants_end(const SequenceStep& step, StepEnd end) {
  return end == StepEnd::logits ? step.wants_logits : step.sampling != nullptr;
}

// Sequences that nobody asked for, of one token each, in a page that nobody reads: they make the
// number of sequences one of a few.
struct Padding {
  std::int64_t sequences = 0;
  std::int32_t page = 0;
};

class StepInputs {
 public:
  static Result<StepInputs> allocate(kernels::Ops& ops, const BatchLimits& limits,
                                     std::int64_t context_max);

  std::uint64_t size_bytes() const { return block_.size_bytes(); }  // of the largest block

  // Writes the block into `host`, memory of allocate_host(), and asks for its upload. The batch
  // must be within the limits and its caches must have reserved what it adds. Padding comes behind
  // the batch, wants tokens like it, and is within the limits as well. The views below are of the
  // last batch, padding included.
  void upload(kernels::Ops& ops, std::span<std::byte> host, std::span<const SequenceStep> batch,
              StepEnd end, const Padding& padding = {});

  std::int64_t tokens() const { return tokens_; }
  kernels::ConstTensorView given() const { return words(given_, tokens_); }
  kernels::StepTokens places() const;
  kernels::ConstTensorView table() const;
  std::span<const Stretch> stretches() const { return stretches_; }

  // Which tokens are followed by something somebody wants, and how it is sampled.
  std::int64_t wanted() const { return wanted_; }
  kernels::ConstTensorView wanted_rows() const { return words(wanted_first_, wanted_); }
  const kernels::SampleRow* sample_rows() const;
  const kernels::LogitBias* biases() const;
  bool may_filter() const { return may_filter_; }  // Sample::may_filter
  bool may_look() const { return may_look_; }      // Sample::may_look

 private:
  class Writer;
  void write_tokens(Writer& writer, std::span<const SequenceStep> batch, const Padding& padding);
  void write_table(Writer& writer, std::span<const SequenceStep> batch, const Padding& padding);
  kernels::ConstTensorView words(std::int64_t first, std::int64_t count) const {
    return block_.view({block_.capacity()}).slice(0, first, count);
  }

  // Sampling of the wanted rows; ids, sequences and positions of the tokens; wanted rows; page
  // table; biases. Where something lies depends on counts only, so that steps with equal counts
  // find it at the same address.
  DeviceArray block_;
  std::vector<Stretch> stretches_;
  std::int64_t table_width_max_ = 0;
  std::int64_t table_width_ = 0;
  std::int64_t tokens_ = 0;
  std::int64_t wanted_ = 0;
  bool may_filter_ = false;
  bool may_look_ = false;
  // Offsets in words.
  std::int64_t given_ = 0;
  std::int64_t wanted_first_ = 0;
  std::int64_t table_first_ = 0;
  std::int64_t bias_first_ = 0;
};

}  // namespace glm::runner
