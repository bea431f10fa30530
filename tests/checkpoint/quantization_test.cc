// Fragments of real configurations and what they are.
#include "runner/checkpoint/quantization.h"

#include <gtest/gtest.h>

#include "tests/fakes/tiny_random_model.h"

namespace glm::runner {
namespace {

struct Case {
  const char* name;
  std::string fragment;  // of config.json
  std::string label;     // where it runs
  std::string error;     // where it does not
};

constexpr const char* kSibling =
    "; unquantized and symmetric int4 or int8 compressed-tensors checkpoints run";

std::string ct(const std::string& weights, const std::string& more = "") {
  return R"("quantization_config": {"quant_method": "compressed-tensors", "format": "pack-quantized",
    "config_groups": {"group_0": {"targets": ["Linear"], "weights": )" +
         weights + "}}, \"ignore\": [\"lm_head\"]" + more + "}";
}

class Quantized : public testing::TestWithParam<Case> {};

TEST_P(Quantized, IsRecognised) {
  const auto found = find_quantization("{" + GetParam().fragment + "}", {});
  if (GetParam().error.empty()) {
    ASSERT_TRUE(found.ok()) << found.error().message;
    EXPECT_EQ(found->label, GetParam().label);
    return;
  }
  ASSERT_FALSE(found.ok()) << found->label;
  EXPECT_EQ(found.error().code, Errc::unsupported);
  EXPECT_EQ(found.error().message, GetParam().error + kSibling);
}

const std::string kG32 =
    R"({"num_bits": 4, "type": "int", "symmetric": true, "group_size": 32, "strategy": "group"})";

INSTANTIATE_TEST_SUITE_P(
    All, Quantized,
    testing::ValuesIn(std::vector<Case>{
        {"none", "", "", ""},
        {"null", R"("quantization_config": null)", "", ""},
        {"ct_int4", ct(kG32), "int4 g32 (compressed-tensors)", ""},
        {"ct_underscore",
         R"("quantization_config": {"quant_method": "Compressed_Tensors",
          "config_groups": {"a": {"weights": )" +
             kG32 + "}}}",
         "int4 g32 (compressed-tensors)", ""},
        {"ct_compression_config",
         R"("compression_config": {"quant_method": "compressed-tensors",
          "config_groups": {"a": {"weights": )" +
             kG32 + "}}}",
         "int4 g32 (compressed-tensors)", ""},
        {"ct_channel8", ct(R"({"num_bits": 8, "type": "int", "strategy": "channel"})"),
         "int8 channel (compressed-tensors)", ""},
        {"ct_preset", R"("quantization_config": {"quant_method": "compressed-tensors",
          "config_groups": {"W4A16": ["Linear"]}})",
         "int4 g128 (compressed-tensors)", ""},
        {"ct_empty_extras", ct(kG32, R"(, "sparsity_config": {}, "transform_config": {})"),
         "int4 g32 (compressed-tensors)", ""},
        {"ct_asymmetric",
         ct(R"({"num_bits": 4, "type": "int", "symmetric": false, "group_size": 32})"), "",
         "config.json: quantization_config: config_groups.group_0: compressed-tensors int4, "
         "asymmetric is not supported yet: what is missing is weights with zero points"},
        {"ct_nvfp4", ct(R"({"num_bits": 4, "type": "float", "group_size": 16})"), "",
         "config.json: quantization_config: config_groups.group_0: compressed-tensors float4 is "
         "not supported yet: what is missing is 4-bit float weights"},
        {"ct_transforms", ct(kG32, R"(, "transform_config": {"a": 1})"), "",
         "config.json: quantization_config.transform_config: compressed-tensors with transforms "
         "is not supported yet: what is missing is online Hadamard transforms"},
        {"ct_sparse", ct(kG32, R"(, "sparsity_config": {"format": "sparse-24-bitmask"})"), "",
         "config.json: quantization_config.sparsity_config: compressed-tensors with sparsity is "
         "not supported yet: what is missing is sparse weights"},
        {"awq", R"("quantization_config": {"quant_method": "awq", "bits": 4})", "",
         "config.json: quantization_config: AWQ is not supported yet: what is missing is its "
         "interleaved 4-bit layout with zero points"},
        {"gptq", R"("quantization_config": {"quant_method": "gptq", "bits": 4})", "",
         "config.json: quantization_config: GPTQ is not supported yet: what is missing is its "
         "transposed 4-bit layout with zero points"},
        {"modelopt", R"("quantization_config": {"quant_method": "modelopt_fp4",
          "quant_algo": "NVFP4"})",
         "",
         "config.json: quantization_config: ModelOpt is not supported yet: what is missing is "
         "NVFP4 and FP8 weights"},
        {"modelopt_unnamed", R"("quantization_config": {"producer": {"name": "modelopt"}})", "",
         "config.json: quantization_config: ModelOpt is not supported yet: what is missing is "
         "NVFP4 and FP8 weights"},
        {"fp8", R"("quantization_config": {"quant_method": "fp8"})", "",
         "config.json: quantization_config: FP8 is not supported yet: what is missing is 8-bit "
         "floating-point weights"},
        {"mlx", R"("quantization": {"group_size": 64, "bits": 4})", "",
         "config.json: quantization: MLX is not supported yet: what is missing is its 32-bit "
         "packed layout with biases"},
        {"mlx_twice", R"("quantization": {"group_size": 64, "bits": 4},
          "quantization_config": {"group_size": 64, "bits": 4})",
         "",
         "config.json: quantization_config: MLX is not supported yet: what is missing is its "
         "32-bit packed layout with biases"},
        {"bitsandbytes", R"("quantization_config": {"quant_method": "bitsandbytes"})", "",
         "config.json: quantization_config: bitsandbytes is not supported yet: what is missing is "
         "its code books and nested scales"},
        {"unknown", R"("quantization_config": {"quant_method": "magic"})", "",
         "config.json: quantization_config: quant_method 'magic' is unknown to this program"},
        {"unnamed", R"("quantization_config": {})", "",
         "config.json: quantization_config: names no quant_method"},
    }),
    [](const auto& test) { return test.param.name; });

TEST(Quantization, LooksIntoTheSidecars) {
  fakes::TemporaryFolder folder;
  fakes::write_file(
      folder.path() / "hf_quant_config.json",
      R"({"producer": {"name": "modelopt"}, "quantization": {"quant_algo": "NVFP4"}})");
  const auto found = find_quantization("{}", std::move(files_in(folder.path())).value());
  ASSERT_FALSE(found.ok());
  EXPECT_EQ(found.error().message,
            "hf_quant_config.json: ModelOpt is not supported yet: what is missing is NVFP4 and FP8 "
            "weights" +
                std::string(kSibling));
}

}  // namespace
}  // namespace glm::runner
