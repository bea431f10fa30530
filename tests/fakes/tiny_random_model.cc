#include "tests/fakes/tiny_random_model.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include "base/check.h"
#include "kernels/dtype.h"

namespace glm::fakes {
namespace {

template <typename T>
FakeTensor tensor_of(std::string dtype, std::vector<std::int64_t> shape,
                     const std::vector<T>& values) {
  FakeTensor tensor{std::move(dtype), std::move(shape), {}};
  tensor.bytes.resize(values.size() * sizeof(T));
  if (!values.empty()) std::memcpy(tensor.bytes.data(), values.data(), tensor.bytes.size());
  return tensor;
}

// Fills a checkpoint, drawing every number from one generator.
class Writer {
 public:
  explicit Writer(const TinyModelOptions& options) : options_(options), random_(options.seed) {}

  FakeTensors tensors;

  std::vector<float> numbers(std::int64_t count, float spread, float centre = 0) {
    std::vector<float> values;
    for (std::int64_t i = 0; i < count; ++i) {
      const auto unit = static_cast<float>(random_() >> 8U) * 0x1p-24F;
      values.push_back(centre + (2 * unit - 1) * spread);
    }
    return values;
  }

  void norm(const std::string& name, std::int64_t size) {
    tensors[name] = bf16_tensor({size}, numbers(size, 0.2F, 1.0F));
  }
  void plain(const std::string& module, std::int64_t rows, std::int64_t cols) {
    const float spread = std::sqrt(3.0F / static_cast<float>(cols));
    tensors[module + ".weight"] = bf16_tensor({rows, cols}, numbers(rows * cols, spread));
  }
  void linear(const std::string& module, std::int64_t rows, std::int64_t cols) {
    if (options_.weights == FakeWeights::bf16) return plain(module, rows, cols);
    const std::int64_t groups =
        options_.weights == FakeWeights::int4_group32 && cols % 32 == 0 ? cols / 32 : 1;
    const std::int64_t words = (cols + 7) / 8;
    std::vector<std::uint32_t> packed;
    for (std::int64_t i = 0; i < rows * words; ++i) {
      auto word = static_cast<std::uint32_t>(random_());
      const std::int64_t rest = cols - i % words * 8;
      if (rest < 8) word &= (1U << (4 * rest)) - 1;
      packed.push_back(word);
    }
    const float spread = 0.35F / std::sqrt(static_cast<float>(cols));
    tensors[module + ".weight_packed"] = i32_tensor({rows, words}, packed);
    tensors[module + ".weight_scale"] =
        bf16_tensor({rows, groups}, numbers(rows * groups, 0.5F * spread, spread));
    tensors[module + ".weight_shape"] = i64_tensor({2}, {rows, cols});
  }
  void mlp(const std::string& prefix, std::int64_t inner) {
    linear(prefix + ".gate_proj", inner, options_.hidden);
    linear(prefix + ".up_proj", inner, options_.hidden);
    linear(prefix + ".down_proj", options_.hidden, inner);
  }
  void layer(std::int64_t index) {
    const TinyModelOptions& o = options_;
    const std::string prefix = fmt::format("model.layers.{}", index);
    const std::string attention = prefix + ".self_attn";
    norm(prefix + ".input_layernorm.weight", o.hidden);
    norm(prefix + ".post_attention_layernorm.weight", o.hidden);
    if (o.architecture == FakeArchitecture::glm4_moe) {
      grouped_attention(attention);
    } else {
      latent_attention(attention);
    }
    if (index < o.dense_layers) return mlp(prefix + ".mlp", o.intermediate);
    plain(prefix + ".mlp.gate", o.experts, o.hidden);
    tensors[prefix + ".mlp.gate.e_score_correction_bias"] =
        f32_tensor({o.experts}, numbers(o.experts, 0.1F, 7.0F));
    for (std::int64_t e = 0; e < o.experts; ++e) {
      mlp(fmt::format("{}.mlp.experts.{}", prefix, e), o.moe_intermediate);
    }
    mlp(prefix + ".mlp.shared_experts", o.moe_intermediate);
  }

 private:
  void latent_attention(const std::string& attention) {
    const TinyModelOptions& o = options_;
    linear(attention + ".q_a_proj", o.q_rank, o.hidden);
    norm(attention + ".q_a_layernorm.weight", o.q_rank);
    linear(attention + ".q_b_proj", o.heads * (o.nope + o.rope), o.q_rank);
    linear(attention + ".kv_a_proj_with_mqa", o.kv_rank + o.rope, o.hidden);
    norm(attention + ".kv_a_layernorm.weight", o.kv_rank);
    linear(attention + ".kv_b_proj", o.heads * (o.nope + o.v), o.kv_rank);
    linear(attention + ".o_proj", o.hidden, o.heads * o.v);
  }
  void grouped_attention(const std::string& attention) {
    const TinyModelOptions& o = options_;
    for (const char* name : {".q_proj", ".k_proj", ".v_proj"}) {
      const std::int64_t rows = (name[1] == 'q' ? o.heads : o.kv_heads) * o.head_dim;
      linear(attention + name, rows, o.hidden);
      if (!o.attention_bias) continue;
      tensors[attention + name + ".bias"] = bf16_tensor({rows}, numbers(rows, 0.5F));
    }
    linear(attention + ".o_proj", o.hidden, o.heads * o.head_dim);
    if (!o.qk_norm) return;
    norm(attention + ".q_norm.weight", o.head_dim);
    norm(attention + ".k_norm.weight", o.head_dim);
  }

  const TinyModelOptions& options_;
  std::mt19937 random_;
};

}  // namespace

TemporaryFolder::TemporaryFolder() {
  std::string name = (std::filesystem::temp_directory_path() / "glm-test-XXXXXX").string();
  GLM_CHECK(::mkdtemp(name.data()) != nullptr);
  path_ = name;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

FakeTensor bf16_tensor(const std::vector<std::int64_t>& shape, const std::vector<float>& values) {
  std::vector<std::uint16_t> bits;
  for (const float value : values) bits.push_back(kernels::f32_to_bf16(value));
  return tensor_of("BF16", shape, bits);
}
FakeTensor f32_tensor(const std::vector<std::int64_t>& shape, const std::vector<float>& values) {
  return tensor_of("F32", shape, values);
}
FakeTensor i32_tensor(const std::vector<std::int64_t>& shape,
                      const std::vector<std::uint32_t>& values) {
  return tensor_of("I32", shape, values);
}
FakeTensor i64_tensor(const std::vector<std::int64_t>& shape,
                      const std::vector<std::int64_t>& values) {
  return tensor_of("I64", shape, values);
}

FakeTensor f16_tensor(const std::vector<std::int64_t>& shape, const std::vector<float>& values) {
  std::vector<std::uint16_t> bits;
  for (const float value : values) bits.push_back(kernels::f32_to_f16(value));
  return tensor_of("F16", shape, bits);
}
FakeTensor byte_tensor(std::string dtype, const std::vector<std::int64_t>& shape,
                       const std::vector<std::uint8_t>& values) {
  return tensor_of(std::move(dtype), shape, values);
}

void write_file(const std::filesystem::path& path, const std::string& text) {
  std::ofstream stream(path, std::ios::binary);
  stream.write(text.data(), static_cast<std::streamsize>(text.size()));
  GLM_CHECK(stream.good());
}

void write_safetensors(const std::filesystem::path& path, const FakeTensors& tensors) {
  std::string header = "{\"__metadata__\":{\"format\":\"pt\"}";
  std::string data;
  for (const auto& [name, tensor] : tensors) {
    header += fmt::format(R"(,"{}":{{"dtype":"{}","shape":[{}],"data_offsets":[{},{}]}})", name,
                          tensor.dtype, fmt::join(tensor.shape, ","), data.size(),
                          data.size() + tensor.bytes.size());
    data.append(reinterpret_cast<const char*>(tensor.bytes.data()), tensor.bytes.size());
  }
  header += "}";
  header.append((8 - header.size() % 8) % 8, ' ');
  std::string file(8, '\0');
  const std::uint64_t length = header.size();
  std::memcpy(file.data(), &length, sizeof(length));
  write_file(path, file + header + data);
}

std::string tiny_config(const TinyModelOptions& o) {
  std::string quantization;
  if (o.weights != FakeWeights::bf16) {
    quantization = fmt::format(
        R"("quantization_config": {{"quant_method": "compressed-tensors",
        "format": "pack-quantized", "config_groups": {{"group_0": {{"targets": ["Linear"],
        "weights": {{"num_bits": 4, "type": "int", "symmetric": true, {}}}}}}}}},)",
        o.weights == FakeWeights::int4_group32 ? R"("group_size": 32, "strategy": "group")"
                                               : R"("group_size": null, "strategy": "channel")");
  }
  const bool grouped = o.architecture == FakeArchitecture::glm4_moe;
  const std::string attention =
      grouped ? fmt::format(R"("num_key_value_heads": {}, "head_dim": {}, "attention_bias": {},
  "use_qk_norm": {})",
                            o.kv_heads, o.head_dim, o.attention_bias, o.qk_norm)
              : fmt::format(R"("num_key_value_heads": {}, "q_lora_rank": {}, "kv_lora_rank": {},
  "qk_nope_head_dim": {}, "qk_rope_head_dim": {}, "v_head_dim": {}, "attention_bias": false)",
                            o.heads, o.q_rank, o.kv_rank, o.nope, o.rope, o.v);
  return fmt::format(R"({{
  "architectures": ["{}"], "model_type": "{}", {}
  "dtype": "bfloat16", "hidden_size": {}, "num_hidden_layers": {}, "first_k_dense_replace": {},
  "num_attention_heads": {}, {}, "intermediate_size": {},
  "n_routed_experts": {}, "num_experts_per_tok": {}, "n_shared_experts": 1,
  "moe_intermediate_size": {}, "n_group": 1, "topk_group": 1, "norm_topk_prob": true,
  "routed_scaling_factor": 1.8, "rms_norm_eps": 1e-05, "rope_parameters": {{"rope_theta": 1000000,
  "rope_type": "default"}}, "vocab_size": {}, "max_position_embeddings": {}, "hidden_act": "silu",
  "tie_word_embeddings": false, "num_nextn_predict_layers": 1,
  "eos_token_id": [3, 5], "pad_token_id": 3
}})",
                     grouped ? "Glm4MoeForCausalLM" : "Glm4MoeLiteForCausalLM",
                     grouped ? "glm4_moe" : "glm4_moe_lite", quantization, o.hidden, o.layers,
                     o.dense_layers, o.heads, attention, o.intermediate, o.experts,
                     o.experts_per_token, o.moe_intermediate, o.vocab, o.context_max);
}

FakeTensors tiny_tensors(const TinyModelOptions& options) {
  Writer writer(options);
  writer.plain("model.embed_tokens", options.vocab, options.hidden);
  writer.plain("lm_head", options.vocab, options.hidden);
  writer.norm("model.norm.weight", options.hidden);
  for (std::int64_t index = 0; index < options.layers; ++index) writer.layer(index);
  if (options.part_of_mtp) {
    writer.plain(fmt::format("model.layers.{}.eh_proj", options.layers), options.hidden,
                 2 * options.hidden);
  }
  return std::move(writer.tensors);
}

void write_tiny_model(const std::filesystem::path& folder, const TinyModelOptions& options) {
  write_file(folder / "config.json", tiny_config(options));
  write_file(
      folder / "generation_config.json",
      R"({"do_sample": true, "temperature": 0.7, "top_p": 0.95, "eos_token_id": [3, 5, 7]})");
  write_safetensors(folder / "model.safetensors", tiny_tensors(options));
}

}  // namespace glm::fakes
