// The tensors of a checkpoint by rule: which modules a GLM model has, and which tensors a module
// becomes in a format. Names, dtypes and shapes only; there are no weights anywhere.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace glm::fakes {

struct NamedTensor {
  std::string name;
  std::string dtype;  // as safetensors spells it
  std::vector<std::int64_t> shape;

  std::uint64_t elements() const;
  std::uint64_t bytes() const;
};
using NamedTensors = std::vector<NamedTensor>;

// A matrix: y = x * weight^T.
struct Module {
  std::string name;         // "model.layers.3.mlp.experts.7.up_proj"
  std::int64_t layer = -1;  // -1: outside layers
  std::int64_t out = 0, in = 0;
  bool linear = true;  // false: embeddings and routers, which no quantizer takes for linear layers

  bool has(std::string_view part) const { return name.find(part) != std::string::npos; }
};

struct Inventory {
  std::vector<Module> modules;
  NamedTensors others;  // norms, biases, in the checkpoint's 16-bit dtype unless F32
};

struct GlmShape {
  std::int64_t hidden, layers, dense_layers, vocab, intermediate, moe_intermediate, experts;
  bool mla = false;      // latent attention of Flash; else 96 heads on 8, with biases
  bool qk_norm = false;  // of the latter
};
inline constexpr GlmShape kFlash = {2048, 47, 1, 154880, 10240, 1536, 64, true, false};
inline constexpr GlmShape kGlm4 = {5120, 92, 3, 151552, 12288, 1536, 160, false, true};
inline constexpr GlmShape kAir = {4096, 46, 1, 151552, 10944, 1408, 128, false, false};

enum class Mtp {
  none,
  shares_tables,  // those of the main model
  own_tables,     // an embedding and a head of its own
};
Inventory glm_inventory(const GlmShape& shape, Mtp mtp, const std::string& dtype = "BF16");

// The tensors of one module in a format.
using Scheme = std::function<NamedTensors(const Module&)>;
Scheme plain(const std::string& dtype = "BF16");
Scheme ct_int4(std::int64_t group);  // pack-quantized, symmetric
Scheme ct_int8_channel();            // int-quantized
Scheme ct_fp8_channel();             // float-quantized, scales F32
Scheme ct_fp8_block();               // the same with blocks of 128x128
Scheme ct_nvfp4();                   // nvfp4-pack-quantized, activations quantized too
Scheme modelopt_nvfp4();
Scheme awq_gemm(std::int64_t group);  // 4 bits, zero points
Scheme gptq(std::int64_t bits, std::int64_t group);

// All tensors, `scheme_of` deciding for each module.
NamedTensors tensors_of(const Inventory& inventory,
                        const std::function<Scheme(const Module&)>& scheme_of);

}  // namespace glm::fakes
