// Multi-head latent attention, as glm4_moe_lite and the DeepSeek family have it.
//
//   cq  = norm(x . q_a)                       [q_rank]
//   q   = cq . q_b                            [heads, nope + rope], the last part rotated
//   ckv = x . kv_a                            [kv_rank + rope]: norm(first part) and the rotated
//                                             second part are what the cache keeps of a token
//   kv_b = per head: W_UK [nope, kv_rank] and W_UV [v, kv_rank]
//
// Expanded: keys and values of all cached tokens are computed from their latents, then plain
// attention; cheapest for long pieces of a prompt. Absorbed: W_UK moves over to the query and W_UV
// to the output, and attention runs on the cache itself; cheapest for a few tokens. Both use the
// scale (nope + rope)^-1/2.
//
// kv_b stays as it is stored. The expanded form takes it whole; the absorbed one takes the rows of
// W_UK of each head transposed, and those of W_UV as they are.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "kernels/ops.h"
#include "runner/checkpoint/model_config.h"
#include "runner/checkpoint/weight_loader.h"
#include "runner/models/attention.h"
#include "runner/models/device_array.h"
#include "runner/models/registry.h"

namespace glm::runner {

// Of a stretch of one sequence. Multiply-adds decide.
struct MlaWork {
  std::int64_t tokens = 0;
  std::int64_t positions = 0;  // cached, these tokens included
};
MlaForm cheaper_mla_form(const MlaDims& dims, const MlaWork& work);

// Activations of one step; shared by all layers.
class MlaScratch {
 public:
  static Result<MlaScratch> allocate(kernels::Ops& ops, const ModelConfig& config,
                                     const AttentionLimits& limits);

 private:
  friend class MlaBlock;
  Status allocate_expanded(kernels::Ops& ops, const ModelConfig& config, std::int64_t positions);

  DeviceArray down_;
  DeviceArray q_;
  DeviceArray q_absorbed_;
  DeviceArray u_;
  DeviceArray heads_out_;
  // The expanded form's view of one sequence, for so many positions; longer ones are absorbed.
  std::int64_t expanded_positions_max_ = 0;
  DeviceArray rows_;
  DeviceArray kv_;
};

class MlaBlock {
 public:
  // `prefix`: "model.layers.3.self_attn".
  static Result<MlaBlock> load(WeightLoader& loader, kernels::Ops& ops, const std::string& prefix,
                               const ModelConfig& config, float latent_norm_eps);

  kernels::Linear forward(kernels::Ops& ops, MlaScratch& scratch, const AttentionStep& step,
                          MlaForm form) const;
  std::uint64_t size_bytes() const;

 private:
  // Tokens of a step.
  struct Range {
    std::int64_t first = 0;
    std::int64_t count = 0;
  };
  void attend(kernels::Ops& ops, MlaScratch& scratch, const AttentionStep& step,
              MlaForm form) const;
  void attend_absorbed(kernels::Ops& ops, MlaScratch& scratch, const AttentionStep& step,
                       const Range& range) const;
  void attend_expanded(kernels::Ops& ops, MlaScratch& scratch, const AttentionStep& step,
                       const Stretch& stretch) const;
  kernels::RopePairs rope_pairs() const;
  float scale() const;

  const ModelConfig* config_ = nullptr;
  float latent_norm_eps_ = 0;
  std::vector<DeviceWeight> down_;  // q_a and kv_a: one weight where they are stored alike
  DeviceArray q_a_norm_;
  DeviceWeight q_b_;
  DeviceArray kv_a_norm_;
  DeviceWeight kv_b_;  // heads*(nope+v) x kv_rank: of each head W_UK, then W_UV
  DeviceWeight o_;
};

class MlaLayers final : public Attention {
 public:
  MlaLayers(MlaForm form, float latent_norm_eps) : form_(form), latent_norm_eps_(latent_norm_eps) {}

  Status load_layer(WeightLoader& loader, kernels::Ops& ops, const std::string& prefix,
                    const ModelConfig& config) override;
  Status allocate_activations(kernels::Ops& ops, const ModelConfig& config,
                              const AttentionLimits& limits) override;
  kernels::Linear forward(kernels::Ops& ops, std::size_t layer, const AttentionStep& step) override;
  std::uint64_t size_bytes() const override;
  bool single_tokens_repeat() const override { return form_ != MlaForm::expanded; }

 private:
  MlaForm form_;
  float latent_norm_eps_;
  std::vector<MlaBlock> layers_;
  MlaScratch scratch_;
};

}  // namespace glm::runner
