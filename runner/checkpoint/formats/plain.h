// Unquantized: M.weight [out, in] in bf16, f16 or f32, and nothing else that would change its
// meaning.
#pragma once

#include "runner/checkpoint/formats.h"

namespace glm::runner::plain {

Result<std::optional<StoredWeight>> detect(const Checkpoint& checkpoint, const std::string& module);
Status read(const Checkpoint& checkpoint, const std::string& module,
            const kernels::WeightLayout& layout, WeightMemory target);

}  // namespace glm::runner::plain
