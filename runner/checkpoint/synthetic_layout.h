// How a checkpoint of this configuration and quantization is stored: names, dtypes and shapes of
// its tensors as the exporters write them, and what kind of numbers each would hold.
//
// Weights are given the deviation inputs^-1/2, so that what goes in of size one comes out of size
// one; codes lie around zero, since weights with a mean of their own make outputs that are nearly
// equal; routers choose evenly. What a configuration leaves open is settled here as the exporters
// do: scales of FP8 are bf16 in blocks and f32 else, 8-bit integers are not packed.
#pragma once

#include <vector>

#include "base/result.h"
#include "runner/checkpoint/model_config.h"
#include "runner/checkpoint/quantization.h"
#include "runner/checkpoint/random_values.h"
#include "runner/checkpoint/safetensors_header.h"

namespace glm::runner {

struct SyntheticTensor {
  TensorInfo info;  // `offset` means nothing
  RandomValues values;
};

// Without the MTP layer. Errc::unsupported: too many tensors, or a module whose stored form the
// configuration does not tell; Errc::corrupt: one whose size does not go with it.
Result<std::vector<SyntheticTensor>> synthetic_layout(const ModelConfig& config,
                                                      const Quantization& quantization);

}  // namespace glm::runner
