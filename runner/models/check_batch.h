// What must hold of a batch before anything of it is asked for.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "runner/models/model.h"
#include "runner/models/step_inputs.h"

namespace glm::runner {

class BatchCheck {
 public:
  BatchCheck() = default;
  // `facts` must outlive this object.
  BatchCheck(const ModelFacts& facts, const BatchLimits& limits);

  // Errors are those of Model::forward and submit. Aborts unless all caches are of one pool, each
  // at most once.
  Status operator()(std::span<const SequenceStep> batch, StepEnd end,
                    std::span<const float> logits);

 private:
  Status check_step(const SequenceStep& step) const;

  const ModelFacts* facts_ = nullptr;
  BatchLimits limits_;
  std::vector<const KvCache*> caches_;  // of a batch, to see that each occurs once
};

}  // namespace glm::runner
