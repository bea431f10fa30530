// Which tensors a model of this configuration has, before anybody quantized it: what the loaders of
// runner/models ask for, without the MTP layer.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "runner/checkpoint/model_config.h"

namespace glm::runner {

// A matrix [rows, cols] under <name>.weight.
struct ModelMatrix {
  enum class Role : std::uint8_t {
    linear,
    router,     // no quantizer takes it for a linear layer
    embedding,  // likewise
  };
  std::string name;  // "model.layers.3.mlp.experts.7.up_proj"
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  Role role = Role::linear;
};

struct ModelVector {
  enum class Role : std::uint8_t { norm, bias, router_bias };
  std::string name;  // whole: "model.norm.weight"
  std::int64_t size = 0;
  Role role = Role::norm;
};

struct ModelTensors {
  std::vector<ModelMatrix> matrices;
  std::vector<ModelVector> vectors;
};

ModelTensors tensors_of(const ModelConfig& config);

}  // namespace glm::runner
