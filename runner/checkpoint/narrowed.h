// Numbers of f16 files where activations are bf16: kernels there round weights to bf16 when they
// use them, so plain weights become bf16 while they are loaded, once and by the same rounding.
#pragma once

#include <cstddef>
#include <span>

#include "kernels/dtype.h"
#include "kernels/weight_format.h"

namespace glm::runner {

// How a weight lies in memory that a file stores like this, plain or not.
kernels::WeightLayout narrowed(const kernels::WeightLayout& stored, kernels::Dtype activations);

// f16 to bf16, in its place.
void narrow(std::span<std::byte> numbers);

}  // namespace glm::runner
