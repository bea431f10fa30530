#include "tests/fakes/dossiers/tensors.h"

#include <fmt/format.h>

#include <utility>

namespace glm::fakes {
namespace {

std::int64_t divide_up(std::int64_t a, std::int64_t b) {
  return (a + b - 1) / b;
}

// Adds the modules and vectors of one model, part by part.
class Builder {
 public:
  Builder(const GlmShape& shape, std::string dtype) : shape_(shape), dtype_(std::move(dtype)) {}

  void table(const std::string& name, std::int64_t layer, bool head) {
    inventory.modules.push_back({name, layer, shape_.vocab, shape_.hidden, head});
  }
  void vector(const std::string& name, std::int64_t size, const std::string& dtype = {}) {
    inventory.others.push_back({name, dtype.empty() ? dtype_ : dtype, {size}});
  }

  void decoder_layer(std::int64_t layer) {
    const std::string prefix = fmt::format("model.layers.{}.", layer);
    vector(prefix + "input_layernorm.weight", shape_.hidden);
    vector(prefix + "post_attention_layernorm.weight", shape_.hidden);
    shape_.mla ? latent_attention(layer, prefix + "self_attn.")
               : grouped_attention(layer, prefix + "self_attn.");
    if (layer < shape_.dense_layers) {
      mlp(layer, prefix + "mlp.", shape_.intermediate);
      return;
    }
    inventory.modules.push_back({prefix + "mlp.gate", layer, shape_.experts, shape_.hidden, false});
    vector(prefix + "mlp.gate.e_score_correction_bias", shape_.experts,
           dtype_ == "F16" ? "F16" : "F32");
    for (std::int64_t expert = 0; expert < shape_.experts; ++expert) {
      mlp(layer, fmt::format("{}mlp.experts.{}.", prefix, expert), shape_.moe_intermediate);
    }
    mlp(layer, prefix + "mlp.shared_experts.", shape_.moe_intermediate);
  }

  void mtp_layer(bool own_tables) {
    const std::int64_t layer = shape_.layers;
    const std::string prefix = fmt::format("model.layers.{}.", layer);
    decoder_layer(layer);
    linear(layer, prefix + "eh_proj", shape_.hidden, 2 * shape_.hidden);
    vector(prefix + "enorm.weight", shape_.hidden);
    vector(prefix + "hnorm.weight", shape_.hidden);
    vector(prefix + "shared_head.norm.weight", shape_.hidden);
    if (!own_tables) return;
    table(prefix + "embed_tokens", layer, false);
    table(prefix + "shared_head.head", layer, true);
  }

  Inventory inventory;

 private:
  void linear(std::int64_t layer, const std::string& name, std::int64_t out, std::int64_t in) {
    inventory.modules.push_back({name, layer, out, in, true});
  }

  void latent_attention(std::int64_t layer, const std::string& prefix) {
    const std::int64_t heads = 20, q_rank = 768, kv_rank = 512, nope = 192, rope = 64, v = 256;
    linear(layer, prefix + "q_a_proj", q_rank, shape_.hidden);
    vector(prefix + "q_a_layernorm.weight", q_rank);
    linear(layer, prefix + "q_b_proj", heads * (nope + rope), q_rank);
    linear(layer, prefix + "kv_a_proj_with_mqa", kv_rank + rope, shape_.hidden);
    vector(prefix + "kv_a_layernorm.weight", kv_rank);
    linear(layer, prefix + "kv_b_proj", heads * (nope + v), kv_rank);
    linear(layer, prefix + "o_proj", shape_.hidden, heads * v);
  }

  void grouped_attention(std::int64_t layer, const std::string& prefix) {
    const std::int64_t q = 96 * 128, kv = 8 * 128;
    for (const auto& [name, out] : {std::pair("q_proj", q), {"k_proj", kv}, {"v_proj", kv}}) {
      linear(layer, prefix + name, out, shape_.hidden);
      vector(prefix + name + ".bias", out);
    }
    linear(layer, prefix + "o_proj", shape_.hidden, q);
    if (!shape_.qk_norm) return;
    vector(prefix + "q_norm.weight", 128);
    vector(prefix + "k_norm.weight", 128);
  }

  void mlp(std::int64_t layer, const std::string& prefix, std::int64_t width) {
    linear(layer, prefix + "gate_proj", width, shape_.hidden);
    linear(layer, prefix + "up_proj", width, shape_.hidden);
    linear(layer, prefix + "down_proj", shape_.hidden, width);
  }

  const GlmShape shape_;
  const std::string dtype_;
};

std::uint64_t bits_of(std::string_view dtype) {
  if (dtype == "I64") return 64;
  if (dtype == "F32" || dtype == "I32") return 32;
  return dtype == "BF16" || dtype == "F16" ? 16 : 8;
}

}  // namespace

std::uint64_t NamedTensor::elements() const {
  std::uint64_t product = 1;
  for (const std::int64_t size : shape) product *= static_cast<std::uint64_t>(size);
  return product;
}
std::uint64_t NamedTensor::bytes() const {
  return elements() * bits_of(dtype) / 8;
}

Inventory glm_inventory(const GlmShape& shape, Mtp mtp, const std::string& dtype) {
  Builder builder(shape, dtype);
  builder.table("model.embed_tokens", -1, false);
  for (std::int64_t layer = 0; layer < shape.layers; ++layer) builder.decoder_layer(layer);
  builder.vector("model.norm.weight", shape.hidden);
  builder.table("lm_head", -1, true);
  if (mtp != Mtp::none) builder.mtp_layer(mtp == Mtp::own_tables);
  return std::move(builder.inventory);
}

Scheme plain(const std::string& dtype) {
  return [dtype](const Module& m) {
    return NamedTensors{{m.name + ".weight", dtype, {m.out, m.in}}};
  };
}

Scheme ct_int4(std::int64_t group) {
  return [group](const Module& m) {
    return NamedTensors{{m.name + ".weight_packed", "I32", {m.out, divide_up(m.in * 4, 32)}},
                        {m.name + ".weight_scale", "BF16", {m.out, m.in / group}},
                        {m.name + ".weight_shape", "I64", {2}}};
  };
}

Scheme ct_int8_channel() {
  return [](const Module& m) {
    return NamedTensors{{m.name + ".weight", "I8", {m.out, m.in}},
                        {m.name + ".weight_scale", "BF16", {m.out, 1}}};
  };
}

Scheme ct_fp8_channel() {
  return [](const Module& m) {
    return NamedTensors{{m.name + ".weight", "F8_E4M3", {m.out, m.in}},
                        {m.name + ".weight_scale", "F32", {m.out, 1}}};
  };
}

Scheme ct_fp8_block() {
  return [](const Module& m) {
    return NamedTensors{
        {m.name + ".weight", "F8_E4M3", {m.out, m.in}},
        {m.name + ".weight_scale", "BF16", {divide_up(m.out, 128), divide_up(m.in, 128)}}};
  };
}

Scheme ct_nvfp4() {
  return [](const Module& m) {
    return NamedTensors{{m.name + ".weight_packed", "U8", {m.out, m.in / 2}},
                        {m.name + ".weight_scale", "F8_E4M3", {m.out, m.in / 16}},
                        {m.name + ".weight_global_scale", "F32", {1}},
                        {m.name + ".input_global_scale", "F32", {1}}};
  };
}

Scheme modelopt_nvfp4() {
  return [](const Module& m) {
    return NamedTensors{{m.name + ".weight", "U8", {m.out, m.in / 2}},
                        {m.name + ".weight_scale", "F8_E4M3", {m.out, m.in / 16}},
                        {m.name + ".weight_scale_2", "F32", {}},
                        {m.name + ".input_scale", "F32", {}}};
  };
}

Scheme awq_gemm(std::int64_t group) {
  return [group](const Module& m) {
    return NamedTensors{{m.name + ".qweight", "I32", {m.in, m.out / 8}},
                        {m.name + ".qzeros", "I32", {m.in / group, m.out / 8}},
                        {m.name + ".scales", "F16", {m.in / group, m.out}}};
  };
}

Scheme gptq(std::int64_t bits, std::int64_t group) {
  return [bits, group](const Module& m) {
    return NamedTensors{{m.name + ".qweight", "I32", {m.in * bits / 32, m.out}},
                        {m.name + ".qzeros", "I32", {m.in / group, m.out * bits / 32}},
                        {m.name + ".scales", "F16", {m.in / group, m.out}},
                        {m.name + ".g_idx", "I32", {m.in}}};
  };
}

NamedTensors tensors_of(const Inventory& inventory,
                        const std::function<Scheme(const Module&)>& scheme_of) {
  NamedTensors tensors = inventory.others;
  for (const Module& module : inventory.modules) {
    for (NamedTensor& tensor : scheme_of(module)(module)) tensors.push_back(std::move(tensor));
  }
  return tensors;
}

}  // namespace glm::fakes
