// GLM-4.5, 4.5-Air, 4.6 and 4.7; the essay is in glm4_moe.cc.
#pragma once

#include <memory>

#include "base/result.h"
#include "kernels/ops.h"
#include "runner/checkpoint/checkpoint.h"
#include "runner/checkpoint/model_facts.h"
#include "runner/models/registry.h"

namespace glm::runner {

Result<std::unique_ptr<Model>> load_glm4_moe(const Checkpoint& checkpoint, ModelFacts facts,
                                             std::unique_ptr<kernels::Ops> ops,
                                             const LoadOptions& options);

}  // namespace glm::runner
