// Ready means that real tokens were generated: a model that loads and cannot do that is not ready.
#pragma once

#include "base/result.h"
#include "runner/models/model.h"

namespace glm::runner {

// Generates a few tokens from a fixed prompt. Errc::corrupt when logits are not finite,
// as damaged weights make them.
Status smoke_test(Model& model, KvPool& pool);

}  // namespace glm::runner
