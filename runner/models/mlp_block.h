// The feed-forward halves of a layer: the plain gated MLP, and the mixture of experts around it.
//
//   Mlp(x) = down(silu(gate(x)) * up(x))
//   Moe(x) = sum over the chosen experts of w_e * Expert_e(x), plus Shared(x) at weight one
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "kernels/ops.h"
#include "runner/checkpoint/model_config.h"
#include "runner/checkpoint/weight_loader.h"
#include "runner/models/device_array.h"

namespace glm::runner {

// Activations of one step; shared by all layers.
class MlpScratch {
 public:
  static Result<MlpScratch> allocate(kernels::Ops& ops, const ModelConfig& config,
                                     std::int64_t tokens_max);

 private:
  friend class MlpBlock;
  friend class MoeBlock;
  DeviceArray inner_;
  DeviceArray shared_out_;
  DeviceArray router_logits_;
  DeviceArray expert_ids_;
  DeviceArray expert_weights_;
};

struct MlpStep {
  // Comes first: its last result is the input, [tokens, hidden].
  kernels::MoeLayer::Front front;
  kernels::TensorView out;  // [tokens, hidden]; may be what the projection gives
};

class MlpBlock {
 public:
  // `prefix`: "model.layers.0.mlp"; `inner`: its intermediate size.
  static Result<MlpBlock> load(WeightLoader& loader, const std::string& prefix,
                               const ModelConfig& config, std::int64_t inner);
  void forward(kernels::Ops& ops, MlpScratch& scratch, const MlpStep& step) const;
  std::uint64_t size_bytes() const;

 private:
  friend class MoeBlock;  // whose shared expert is one
  std::int64_t inner_ = 0;
  DeviceWeight gate_;
  DeviceWeight up_;
  DeviceWeight down_;
};

class MoeBlock {
 public:
  // `prefix`: "model.layers.1.mlp". Experts may be stored one by one (experts.7.up_proj) or fused
  // (experts.gate_up_proj [experts, 2*inner, hidden], gate rows first).
  static Result<MoeBlock> load(WeightLoader& loader, kernels::Ops& ops, const std::string& prefix,
                               const ModelConfig& config);
  void forward(kernels::Ops& ops, MlpScratch& scratch, const MlpStep& step) const;
  std::uint64_t size_bytes() const;

 private:
  Status load_experts(WeightLoader& loader, const std::string& prefix);

  const ModelConfig* config_ = nullptr;
  DeviceWeight router_;
  DeviceArray bias_;
  DeviceWeight gate_;
  DeviceWeight up_;
  DeviceWeight down_;
  MlpBlock shared_;
};

}  // namespace glm::runner
