// Rows of a weight as f32, exactly.
#pragma once

#include <cstdint>

#include "kernels/weight_format.h"

namespace glm::kernels::cpu {

// out [cols].
void decode_row(const WeightView& weight, std::int64_t row, float* out);

}  // namespace glm::kernels::cpu
