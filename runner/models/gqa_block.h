// Grouped-query attention, as glm4_moe has it and most other decoders do.
//
//   q = x . q_proj + bias      [heads, d]      k, v = x . {k,v}_proj + bias     [kv_heads, d]
//   q, k = norm(q), norm(k)    of each head    where the config wants it
//   q, k = rope(q), rope(k)    on the first rope_dim elements of each head
//   out  = attention(q, keys, values) . o_proj, with the scale d^-1/2
//
// A row of the cache holds the keys of all kv heads, normed and rotated, and then their values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "kernels/ops.h"
#include "runner/checkpoint/model_config.h"
#include "runner/checkpoint/weight_loader.h"
#include "runner/models/attention.h"
#include "runner/models/device_array.h"

namespace glm::runner {

// Activations of one step; shared by all layers.
class GqaScratch {
 public:
  static Result<GqaScratch> allocate(kernels::Ops& ops, const ModelConfig& config,
                                     std::int64_t tokens_max);

 private:
  friend class GqaBlock;
  DeviceArray qkv_;
  DeviceArray heads_out_;
};

class GqaBlock {
 public:
  // `prefix`: "model.layers.3.self_attn". Errc::corrupt if the tensors have biases or norms the
  // config denies: one of them is wrong, and the answers would be.
  static Result<GqaBlock> load(WeightLoader& loader, kernels::Ops& ops, const std::string& prefix,
                               const ModelConfig& config);
  kernels::Linear forward(kernels::Ops& ops, GqaScratch& scratch, const AttentionStep& step) const;
  std::uint64_t size_bytes() const;

 private:
  const ModelConfig* config_ = nullptr;
  std::vector<DeviceWeight> qkv_;  // one, or, where they are not stored alike, of each its own
  DeviceArray bias_;               // of all three; empty where there are none
  DeviceWeight o_;
  DeviceArray q_norm_;  // empty without qk_norm
  DeviceArray k_norm_;
};

class GqaLayers final : public Attention {
 public:
  Status load_layer(WeightLoader& loader, kernels::Ops& ops, const std::string& prefix,
                    const ModelConfig& config) override;
  Status allocate_activations(kernels::Ops& ops, const ModelConfig& config,
                              const AttentionLimits& limits) override;
  kernels::Linear forward(kernels::Ops& ops, std::size_t layer, const AttentionStep& step) override;
  std::uint64_t size_bytes() const override;

 private:
  std::vector<GqaBlock> layers_;
  GqaScratch scratch_;
};

}  // namespace glm::runner
