#include "runner/models/step_inputs.h"

#include <algorithm>
#include <bit>

namespace glm::runner {

using kernels::ConstTensorView;
using kernels::Dtype;
using kernels::Ops;

Result<StepInputs> StepInputs::allocate(Ops& ops, const BatchLimits& limits,
                                        std::int64_t context_max) {
  StepInputs inputs;
  inputs.table_width_max_ = pages_of(context_max);
  const std::int64_t capacity =
      3 * limits.tokens_max + limits.sequences_max * (1 + inputs.table_width_max_);
  inputs.block_ = GLM_TRY(DeviceArray::allocate(ops, Dtype::i32, capacity));
  inputs.host_.reserve(static_cast<std::size_t>(capacity));
  inputs.stretches_.reserve(static_cast<std::size_t>(limits.sequences_max));
  return inputs;
}

void StepInputs::upload(Ops& ops, std::span<const SequenceStep> batch) {
  host_.clear();
  stretches_.clear();
  tokens_ = 0;
  wanted_ = 0;
  std::int64_t positions_max = 0;
  for (const SequenceStep& step : batch) {
    const auto count = static_cast<std::int64_t>(step.tokens.size());
    stretches_.push_back({.sequence = static_cast<std::int64_t>(stretches_.size()),
                          .first_token = tokens_,
                          .tokens = count,
                          .positions = step.cache->length() + count,
                          .one_by_one = step.one_by_one});
    positions_max = std::max(positions_max, stretches_.back().positions);
    tokens_ += count;
    host_.insert(host_.end(), step.tokens.begin(), step.tokens.end());
  }
  for (const Stretch& stretch : stretches_) {
    host_.insert(host_.end(), static_cast<std::size_t>(stretch.tokens),
                 static_cast<std::int32_t>(stretch.sequence));
  }
  for (const Stretch& stretch : stretches_) {
    for (std::int64_t p = stretch.positions - stretch.tokens; p < stretch.positions; ++p) {
      host_.push_back(static_cast<std::int32_t>(p));
    }
  }
  for (std::size_t s = 0; s < batch.size(); ++s) {
    if (!batch[s].wants_logits) continue;
    ++wanted_;
    host_.push_back(
        static_cast<std::int32_t>(stretches_[s].first_token + stretches_[s].tokens - 1));
  }
  // Few different widths, so that whoever prepares launches by shape need not prepare many.
  const auto pages_max = static_cast<std::uint64_t>(pages_of(positions_max));
  table_width_ = std::min(static_cast<std::int64_t>(std::bit_ceil(pages_max)), table_width_max_);
  for (const SequenceStep& step : batch) {
    const std::span<const std::int32_t> pages = step.cache->pages();
    const auto width = static_cast<std::size_t>(table_width_);
    const std::size_t known = std::min(pages.size(), width);
    host_.insert(host_.end(), pages.begin(), pages.begin() + static_cast<std::ptrdiff_t>(known));
    host_.insert(host_.end(), width - known, 0);
  }
  ops.upload(block_.view({block_.capacity()}).data,
             std::as_bytes(std::span<const std::int32_t>(host_)));
}

kernels::StepTokens StepInputs::places() const {
  const ConstTensorView block = block_.view({block_.capacity()});
  return {.sequence = block.slice(0, tokens_, tokens_),
          .position = block.slice(0, 2 * tokens_, tokens_),
          .positions_max = table_width_ * kPageTokens};
}

ConstTensorView StepInputs::wanted_rows() const {
  return block_.view({block_.capacity()}).slice(0, 3 * tokens_, wanted_);
}

ConstTensorView StepInputs::table() const {
  const auto sequences = static_cast<std::int64_t>(stretches_.size());
  ConstTensorView table =
      block_.view({block_.capacity()}).slice(0, 3 * tokens_ + wanted_, sequences * table_width_);
  return {table.data, Dtype::i32, {sequences, table_width_}};
}

}  // namespace glm::runner
