// Views of weights as device code takes them.
#pragma once

#include "kernels/device/weight.h"
#include "kernels/weight_format.h"

namespace glm::kernels::cuda {

device::Weight device_weight(const WeightView& weight);
device::Weights device_weights(const ExpertsView& experts);

// The weight alone, as one of many: index 0 is all there is.
device::Weights device_weights(const WeightView& weight);

}  // namespace glm::kernels::cuda
