// The part of a decoder that differs between architectures: attention, and with it what a layer
// keeps of a token.
//
// A step has tokens of any number of sequences. Where their rows are cached is said by page tables,
// the same for all layers; a block writes the rows of the new tokens and reads what they see.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "base/result.h"
#include "kernels/ops.h"
#include "runner/checkpoint/model_config.h"
#include "runner/checkpoint/weight_loader.h"

namespace glm::runner {

// The tokens of one sequence in a step; they lie next to each other.
struct Stretch {
  std::int64_t sequence = 0;  // its row of the page table
  std::int64_t first_token = 0;
  std::int64_t tokens = 0;
  std::int64_t positions = 0;  // cached, these tokens included
  bool one_by_one = false;     // SequenceStep::one_by_one
};

// New tokens on their way through one layer. A cached row holds ModelConfig::cache_dim() values,
// in the format of its pages.
struct AttentionStep {
  kernels::RmsNorm norm;              // whose result is the input, [tokens, hidden]; not run yet
  kernels::TensorView out;            // [tokens, hidden] of the linear layer that is left
  kernels::ConstTensorView inv_freq;  // [ModelConfig::rope_dim() / 2]
  kernels::PagedRows rows;            // of this layer
  kernels::StepTokens tokens;
  std::span<const Stretch> stretches;  // all tokens, in their order
};

struct AttentionLimits {
  std::int64_t tokens_max = 0;     // of a step
  std::int64_t positions_max = 0;  // of a sequence
};

// The attention of all layers, with the activations they share.
class Attention {
 public:
  virtual ~Attention() = default;

  // Adds the next layer. `prefix`: "model.layers.3.self_attn". `config` must outlive this object.
  virtual Status load_layer(WeightLoader& loader, kernels::Ops& ops, const std::string& prefix,
                            const ModelConfig& config) = 0;
  virtual Status allocate_activations(kernels::Ops& ops, const ModelConfig& config,
                                      const AttentionLimits& limits) = 0;
  // All but the last linear layer, from what the heads say to `out`: that is returned, and left to
  // the caller.
  virtual kernels::Linear forward(kernels::Ops& ops, std::size_t layer,
                                  const AttentionStep& step) = 0;
  virtual std::uint64_t size_bytes() const = 0;  // of the weights

  // Whether forward() asks for the same operations, shapes and addresses whenever the same number
  // of sequences get one token each, wherever they stand.
  virtual bool single_tokens_repeat() const { return true; }
};

}  // namespace glm::runner
