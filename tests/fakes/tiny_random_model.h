// Checkpoints of random numbers, small and awkward on purpose: dimensions nothing divides, a
// vocabulary that is no multiple of anything. And the writer of safetensors files they need.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <random>
#include <string>
#include <vector>

namespace glm::fakes {

// A folder of its own below the system's temporary folder, gone with the object.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

struct FakeTensor {
  std::string dtype;  // as safetensors spells it
  std::vector<std::int64_t> shape;
  std::vector<std::byte> bytes;
};
using FakeTensors = std::map<std::string, FakeTensor>;

FakeTensor bf16_tensor(const std::vector<std::int64_t>& shape, const std::vector<float>& values);
FakeTensor f32_tensor(const std::vector<std::int64_t>& shape, const std::vector<float>& values);
FakeTensor i32_tensor(const std::vector<std::int64_t>& shape,
                      const std::vector<std::uint32_t>& values);
FakeTensor i64_tensor(const std::vector<std::int64_t>& shape,
                      const std::vector<std::int64_t>& values);

FakeTensor f16_tensor(const std::vector<std::int64_t>& shape, const std::vector<float>& values);
// Bytes of any one-byte dtype: "U8", "I8", "F8_E4M3", …
FakeTensor byte_tensor(std::string dtype, const std::vector<std::int64_t>& shape,
                       const std::vector<std::uint8_t>& values);

void write_file(const std::filesystem::path& path, const std::string& text);
void write_safetensors(const std::filesystem::path& path, const FakeTensors& tensors);

enum class FakeArchitecture { glm4_moe_lite, glm4_moe };
enum class FakeWeights { bf16, int4_group32, int4_channel };

struct TinyModelOptions {
  bool part_of_mtp = false;
  std::uint32_t seed = 1;
  FakeArchitecture architecture = FakeArchitecture::glm4_moe_lite;
  FakeWeights weights = FakeWeights::bf16;
  std::int64_t hidden = 96;
  std::int64_t layers = 3;
  std::int64_t dense_layers = 1;
  std::int64_t heads = 3;
  std::int64_t q_rank = 32;
  std::int64_t kv_rank = 64;
  std::int64_t nope = 24;
  std::int64_t rope = 8;
  std::int64_t v = 20;
  std::int64_t kv_heads = 1;  // this and the next three of glm4_moe only
  std::int64_t head_dim = 36;
  bool attention_bias = true;
  bool qk_norm = true;
  std::int64_t intermediate = 160;
  std::int64_t experts = 5;
  std::int64_t experts_per_token = 2;
  std::int64_t moe_intermediate = 32;
  std::int64_t vocab = 101;
  std::int64_t context_max = 512;
};

// config.json.
std::string tiny_config(const TinyModelOptions& options);

// Every tensor it wants, and an MTP layer's eh_proj on top where that is asked for.
FakeTensors tiny_tensors(const TinyModelOptions& options);

// Both, as files of `folder`.
void write_tiny_model(const std::filesystem::path& folder, const TinyModelOptions& options);

}  // namespace glm::fakes
