// What the device is told of a batch: ids, places and page tables, as one block of integers that
// goes up in one piece, once per step and not once per layer.
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

class StepInputs {
 public:
  static Result<StepInputs> allocate(kernels::Ops& ops, const BatchLimits& limits,
                                     std::int64_t context_max);

  // The batch must be within the limits and its caches must have reserved what it adds. The views
  // below are of the last batch.
  void upload(kernels::Ops& ops, std::span<const SequenceStep> batch);

  std::int64_t tokens() const { return tokens_; }
  kernels::ConstTensorView ids() const { return block_.view({tokens_}); }
  kernels::StepTokens places() const;
  kernels::ConstTensorView table() const;
  std::span<const Stretch> stretches() const { return stretches_; }

  // Which tokens are followed by logits somebody wants.
  std::int64_t wanted() const { return wanted_; }
  kernels::ConstTensorView wanted_rows() const;

 private:
  DeviceArray block_;  // ids, sequences and positions of the tokens, wanted rows, page table
  std::vector<std::int32_t> host_;
  std::vector<Stretch> stretches_;
  std::int64_t table_width_max_ = 0;
  std::int64_t table_width_ = 0;
  std::int64_t tokens_ = 0;
  std::int64_t wanted_ = 0;
};

}  // namespace glm::runner
