// The part of a decoder that differs between architectures: attention, and with it what a layer
// keeps of a token.
//
// Where cached rows lie, and which of them a sequence may see, is the decoder's business alone: a
// block writes the rows it is given and reads the rows it is given.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "base/result.h"
#include "kernels/ops.h"
#include "runner/checkpoint/model_config.h"
#include "runner/checkpoint/weight_loader.h"

namespace glm::runner {

// New tokens of one sequence on their way through one layer. A row of the cache holds
// ModelConfig::cache_dim() values.
struct AttentionStep {
  kernels::ConstTensorView x;          // [tokens, hidden], normed
  kernels::TensorView out;             // [tokens, hidden]
  kernels::ConstTensorView positions;  // [tokens] i32, in the sequence
  kernels::ConstTensorView inv_freq;   // [ModelConfig::rope_dim() / 2]
  kernels::TensorView new_rows;        // [tokens, cache_dim], of these tokens; to be written
  kernels::ConstTensorView rows;       // [positions, cache_dim], of the sequence, new ones last
};

// The attention of all layers, with the activations they share.
class Attention {
 public:
  virtual ~Attention() = default;

  // Adds the next layer. `prefix`: "model.layers.3.self_attn". `config` must outlive this object.
  virtual Status load_layer(WeightLoader& loader, kernels::Ops& ops, const std::string& prefix,
                            const ModelConfig& config) = 0;
  virtual Status allocate_activations(kernels::Ops& ops, const ModelConfig& config,
                                      std::int64_t tokens_max) = 0;
  virtual void forward(kernels::Ops& ops, std::size_t layer, const AttentionStep& step) = 0;
  virtual std::uint64_t size_bytes() const = 0;  // of the weights
};

}  // namespace glm::runner
