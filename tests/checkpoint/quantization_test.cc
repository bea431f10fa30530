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

constexpr const char* kInstead =
    "; pull this model unquantized, or as compressed-tensors, AWQ, GPTQ, ModelOpt NVFP4 or FP8";

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
  EXPECT_EQ(found.error().message, GetParam().error + kInstead);
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
        {"ct_group_format_wins",
         R"("quantization_config": {"quant_method": "compressed-tensors",
          "format": "mixed-precision", "config_groups": {"a": {"format": "pack-quantized",
          "targets": ["Linear"], "weights": )" +
             kG32 + "}}}",
         "int4 g32 (compressed-tensors)", ""},
        {"ct_two_groups",
         R"("quantization_config": {"quant_method": "compressed-tensors",
          "format": "mixed-precision", "config_groups": {"a": {"targets": ["Linear"], "weights": )" +
             kG32 +
             R"(}, "b": {"targets": ["re:.*self_attn.*"], "weights":
          {"num_bits": 8, "type": "float", "strategy": "channel"}}}})",
         "int4 g32 (compressed-tensors), fp8 channel (compressed-tensors)", ""},
        {"ct_asymmetric",
         ct(R"({"num_bits": 4, "type": "int", "symmetric": false, "group_size": 32})"),
         "int4 asym g32 (compressed-tensors)", ""},
        {"ct_act_order",
         ct(R"({"num_bits": 4, "type": "int", "group_size": 128, "actorder": "group"})"),
         "int4 g128 act-order (compressed-tensors)", ""},
        {"ct_nvfp4",
         ct(R"({"num_bits": 4, "type": "float", "group_size": 16, "strategy": "tensor_group"})"),
         "nvfp4 (compressed-tensors)", ""},
        {"ct_mxfp4",
         ct(R"({"num_bits": 4, "type": "float", "group_size": 32, "strategy": "group"})"),
         "mxfp4 (compressed-tensors)", ""},
        {"ct_fp8_channel", ct(R"({"num_bits": 8, "type": "float", "strategy": "channel"})"),
         "fp8 channel (compressed-tensors)", ""},
        {"ct_fp8_block", ct(R"({"num_bits": 8, "type": "float", "strategy": "block",
          "block_structure": [128, 128]})"),
         "fp8 block 128x128 (compressed-tensors)", ""},
        {"ct_fp8_block_as_text", ct(R"({"num_bits": 8, "type": "float", "strategy": "block",
          "block_structure": "64x32"})"),
         "fp8 block 64x32 (compressed-tensors)", ""},
        {"ct_not_compressed", ct(kG32, R"(, "quantization_status": "initialized")"), "", ""},
        {"ct_three_bits", ct(R"({"num_bits": 3, "type": "int", "group_size": 32})"), "",
         "config.json: quantization_config: config_groups.group_0: weights: compressed-tensors "
         "int3 "
         "is not supported: what is missing is 3-bit int weights"},
        {"ct_transforms", ct(kG32, R"(, "transform_config": {"a": 1})"), "",
         "config.json: quantization_config.transform_config: compressed-tensors with transforms "
         "is not supported: what is missing is online Hadamard transforms"},
        {"ct_sparse", ct(kG32, R"(, "sparsity_config": {"format": "sparse-24-bitmask"})"), "",
         "config.json: quantization_config.sparsity_config: compressed-tensors with sparsity is "
         "not supported: what is missing is sparse weights"},
        {"awq", R"("quantization_config": {"quant_method": "awq", "bits": 4, "group_size": 128,
          "zero_point": true, "version": "GEMM", "modules_to_not_convert": ["mlp.gate."]})",
         "int4 asym g128 (AWQ)", ""},
        {"awq_old_names", R"("quantization_config": {"quant_method": "awq", "w_bit": 4,
          "q_group_size": -1})",
         "int4 asym channel (AWQ)", ""},
        {"awq_gemv", R"("quantization_config": {"quant_method": "awq", "version": "gemv"})", "",
         "config.json: quantization_config: AWQ version gemv is not supported: what is missing is "
         "its layout (only gemm is read)"},
        {"awq_marlin", R"("quantization_config": {"quant_method": "awq", "version": "marlin"})", "",
         "config.json: quantization_config: AWQ version marlin is not supported: what is missing "
         "is its layout (only gemm is read)"},
        {"gptq", R"("quantization_config": {"quant_method": "gptq", "bits": 4, "group_size": 128,
          "desc_act": false, "sym": true, "checkpoint_format": "gptq"})",
         "int4 g128 (GPTQ)", ""},
        {"gptq_v2_act_order", R"("quantization_config": {"quant_method": "gptq", "bits": 4,
          "group_size": 32, "desc_act": true, "sym": false, "checkpoint_format": "gptq_v2"})",
         "int4 asym g32 act-order (GPTQ)", ""},
        {"gptq_mixed", R"("quantization_config": {"quant_method": "gptq",
          "dynamic": {"-:.*shared_experts.*": {}, "+:.*down_proj.*": {"bits": 8}}})",
         "int4 g128 (GPTQ), int8 g128 (GPTQ)", ""},
        {"gptq_three_bits", R"("quantization_config": {"quant_method": "gptq", "bits": 3})", "",
         "config.json: quantization_config: 3-bit GPTQ is not supported: what is missing is a "
         "packing of other than 4 or 8 bits"},
        {"gptq_marlin", R"("quantization_config": {"quant_method": "gptq",
          "checkpoint_format": "marlin"})",
         "",
         "config.json: quantization_config: GPTQ in the marlin format is not supported: what is "
         "missing is its layout (gptq and gptq_v2 are read)"},
        {"modelopt", R"("quantization_config": {"quant_method": "modelopt_fp4",
          "quant_algo": "NVFP4", "config_groups": {"group_0": {"weights": {"num_bits": 4}}},
          "ignore": ["lm_head"]})",
         "nvfp4 (ModelOpt)", ""},
        {"modelopt_unnamed", R"("quantization_config": {"producer": {"name": "modelopt"},
          "quantization": {"quant_algo": "fp8"}})",
         "fp8 tensor (ModelOpt)", ""},
        {"modelopt_mixed", R"("quantization_config": {"quant_method": "modelopt",
          "quant_algo": "MIXED_PRECISION", "quantized_layers": {"a.q_proj": {"quant_algo": "FP8"},
          "a.up_proj": {"quant_algo": "NVFP4", "group_size": 16}}})",
         "fp8 tensor (ModelOpt), nvfp4 (ModelOpt)", ""},
        {"modelopt_awq", R"("quantization_config": {"quant_method": "modelopt",
          "quant_algo": "NVFP4_AWQ"})",
         "",
         "config.json: quantization_config: ModelOpt NVFP4_AWQ is not supported: what is missing "
         "is scales on the activations"},
        {"fp8_block", R"("quantization_config": {"quant_method": "fp8",
          "activation_scheme": "dynamic", "weight_block_size": [128, 128]})",
         "fp8 block 128x128", ""},
        {"fp8_tensor", R"("quantization_config": {"quant_method": "fp8",
          "activation_scheme": "static"})",
         "fp8 tensor", ""},
        {"mlx", R"("quantization": {"group_size": 64, "bits": 4})", "",
         "config.json: quantization: MLX is not supported: what is missing is its 32-bit "
         "packed layout with biases"},
        {"mlx_twice", R"("quantization": {"group_size": 64, "bits": 4},
          "quantization_config": {"group_size": 64, "bits": 4})",
         "",
         "config.json: quantization_config: MLX is not supported: what is missing is its "
         "32-bit packed layout with biases"},
        {"bitsandbytes", R"("quantization_config": {"quant_method": "bitsandbytes"})", "",
         "config.json: quantization_config: bitsandbytes is not supported: what is missing is "
         "its code books and nested scales"},
        {"unknown", R"("quantization_config": {"quant_method": "magic"})", "",
         "config.json: quantization_config: quant_method 'magic' is not supported: what is missing "
         "is any knowledge of it"},
        {"empty", R"("quantization_config": {}, "quantization": {})", "", ""},
        {"empty_before", R"("quantization_config": {}, "compression_config": {
          "quant_method": "fp8"})",
         "fp8 tensor", ""},
        {"unrelated", R"("quantization": {"of": "audio"})", "", ""},
        {"modelopt_null", R"("quantization_config": {"quant_method": "modelopt",
          "quant_algo": null})",
         "", ""},
        {"modelopt_mixed_in_small_letters", R"("quantization_config": {"quant_method": "modelopt",
          "quant_algo": "mixed_precision", "quantized_layers": {"a.q_proj": {"quant_algo": "fp8"},
          "a.k_proj": {"quant_algo": null}}})",
         "fp8 tensor (ModelOpt)", ""},
        {"gptq_many",
         R"("quantization_config": {"quant_method": "gptq", "dynamic": {"a": {"group_size": 1},
          "b": {"group_size": 2}, "c": {"group_size": 4}, "d": {"group_size": 8},
          "e": {"group_size": 16}, "f": {"group_size": 16}}})",
         "int4 g128 (GPTQ), int4 g1 (GPTQ), int4 g2 (GPTQ), int4 g4 (GPTQ) and 2 more", ""},
        {"unnamed", R"("quantization_config": {"bits": 4})", "",
         "config.json: quantization_config: a quantization without quant_method is not supported: "
         "what is missing is any knowledge of it"},
    }),
    [](const auto& test) { return test.param.name; });

TEST(Quantization, LooksIntoTheSidecars) {
  fakes::TemporaryFolder folder;
  fakes::write_file(folder.path() / "hf_quant_config.json",
                    R"({"producer": {"name": "modelopt"}, "quantization": {"quant_algo": "NVFP4",
                        "group_size": 16, "exclude_modules": ["lm_head"]}})");
  const auto files = std::move(files_in(folder.path())).value();
  const auto found = find_quantization("{}", files);
  ASSERT_TRUE(found.ok()) << found.error().message;
  EXPECT_EQ(found->label, "nvfp4 (ModelOpt)");
  EXPECT_EQ(found->where, "hf_quant_config.json");
  EXPECT_FALSE(found->scheme_of("lm_head").quantized);

  // config.json comes first; the sidecar fills what it leaves out.
  const auto merged = find_quantization(
      R"({"quantization_config": {"quant_method": "modelopt", "quant_algo": "FP8"}})", files);
  ASSERT_TRUE(merged.ok()) << merged.error().message;
  EXPECT_EQ(merged->label, "fp8 tensor (ModelOpt)");
  EXPECT_FALSE(merged->scheme_of("lm_head").quantized);
}

TEST(Quantization, TellsTheMethodsOfOneSidecarByTheirFields) {
  const auto label = [](const std::string& text) {
    fakes::TemporaryFolder folder;
    fakes::write_file(folder.path() / "quant_config.json", text);
    const auto found = find_quantization("{}", std::move(files_in(folder.path())).value());
    return found.ok() ? found->label : found.error().message;
  };
  EXPECT_EQ(label(R"({"bits": 4, "group_size": 64, "desc_act": true})"),
            "int4 g64 act-order (GPTQ)");
  EXPECT_EQ(label(R"({"bits": 8, "group_size": 64, "sym": true})"), "int8 g64 (GPTQ)");
  EXPECT_EQ(label(R"({"bits": 4, "group_size": 64, "zero_point": true})"), "int4 asym g64 (AWQ)");
  EXPECT_EQ(label(R"({"bits": 4, "group_size": 64, "version": "GEMM"})"), "int4 asym g64 (AWQ)");
  EXPECT_EQ(label(R"({"w_bit": 4, "q_group_size": 64})"), "int4 asym g64 (AWQ)");
  EXPECT_EQ(label(R"({"bits": 4})"), "");
}

// Of the patterns of `dynamic` the first in the file wins, not the first in the alphabet.
TEST(Quantization, KeepsTheOrderOfDynamicRules) {
  const auto scheme = [](const std::string& dynamic) {
    const auto found = find_quantization(
        R"({"a": {"b": [{"dynamic": 3}]}, "quantization_config": {"quant_method": "gptq", "dynamic": )" +
            dynamic + "}}",
        {});
    EXPECT_TRUE(found.ok()) << found.error().message;
    return found->scheme_of("model.layers.1.mlp.down_proj");
  };
  EXPECT_FALSE(scheme(R"({"-:.*mlp.*": {}, "+:.*down_proj": {"bits": 8}})").quantized);
  EXPECT_EQ(scheme(R"({"+:.*down_proj": {"bits": 8}, "-:.*mlp.*": {}})").bits, 8);
  EXPECT_EQ(scheme(R"({".*down_proj": {"bits": 8}, "+:.*proj": {"bits": 4}})").bits, 8);
}

// A module that is quantized although no rule says so is still read by what holds for the file.
TEST(Quantization, KeepsTheFactsOfTheFileWhereItQuantizesNothing) {
  const auto schemes = [](const std::string& description, const std::string& plain) {
    const auto found = find_quantization("{\"quantization_config\": " + description + "}", {});
    EXPECT_TRUE(found.ok()) << found.error().message;
    const std::vector<ModuleScheme> all = {found->scheme_of(plain),
                                           found->scheme_of("model.embed_tokens")};
    for (const ModuleScheme& scheme : all) EXPECT_FALSE(scheme.quantized) << description;
    return all;
  };
  for (const char* plain : {"lm_head", "model.layers.1.mlp.up_proj"}) {
    for (const ModuleScheme& scheme :
         schemes(R"({"quant_method": "gptq", "bits": 8, "group_size": 32, "sym": false,
                     "dynamic": {"-:.*mlp.*": {}}})",
                 plain)) {
      EXPECT_TRUE(scheme.zeros_less_one) << plain;
      EXPECT_EQ(scheme.symmetric, false) << plain;
      EXPECT_EQ(scheme.bits, 8) << plain;
    }
  }
  for (const ModuleScheme& scheme : schemes(R"({"quant_method": "awq", "bits": 4, "group_size": 64,
                   "modules_to_not_convert": ["m"]})",
                                            "m")) {
    EXPECT_EQ(scheme.group, 64);
  }
  for (const ModuleScheme& scheme :
       schemes(R"({"quant_method": "fp8", "weight_block_size": [64, 32],
                   "modules_to_not_convert": ["m"]})",
               "m")) {
    EXPECT_EQ(scheme.block_rows, 64);
    EXPECT_EQ(scheme.block_cols, 32);
  }
  for (const ModuleScheme& scheme :
       schemes(R"({"quant_method": "modelopt", "quant_algo": "NVFP4", "ignore": ["m"]})", "m")) {
    EXPECT_EQ(scheme.bits, 4);
  }
  for (const ModuleScheme& scheme : schemes(ct(kG32).substr(ct(kG32).find('{')), "lm_head")) {
    EXPECT_EQ(scheme.bits, 4);
    EXPECT_EQ(scheme.symmetric, true);
  }
}

TEST(Quantization, PresentsNoDefaultAsWhatTheConfigurationSays) {
  for (const char* method : {"gptq", "awq"}) {
    const auto found = find_quantization(
        fmt::format(R"({{"quantization_config": {{"quant_method": "{}"}}}})", method), {});
    ASSERT_TRUE(found.ok()) << found.error().message;
    const ModuleScheme scheme = found->scheme_of("model.layers.1.mlp.up_proj");
    EXPECT_TRUE(scheme.quantized);
    EXPECT_EQ(scheme.bits, 0) << method;
    EXPECT_EQ(scheme.group, 0) << method;
    EXPECT_FALSE(scheme.symmetric.has_value()) << method;
  }
}

// Another object of that name must neither add rules nor hide any.
TEST(Quantization, KeepsEveryDynamicRuleWhateverElseIsCalledSo) {
  const auto found = find_quantization(
      R"({"a": {"dynamic": {"-:.*mlp.*": {}, "-:.*attn.*": {}}}, "quantization_config": {
          "quant_method": "gptq", "dynamic": {"-:.*mlp.*": {}, "-:.*head.*": {}}}})",
      {});
  ASSERT_TRUE(found.ok()) << found.error().message;
  EXPECT_FALSE(found->scheme_of("l.mlp.up_proj").quantized);
  EXPECT_FALSE(found->scheme_of("l.head.up_proj").quantized);
  EXPECT_TRUE(found->scheme_of("l.attn.q_proj").quantized);
}

TEST(Quantization, RefusesMorePatternsThanAnybodyWrites) {
  std::string dynamic, ignore;
  for (int i = 0; i < 4097; ++i) {
    dynamic += fmt::format("{}\"-:m{}\": {{}}", i == 0 ? "" : ", ", i);
    ignore += fmt::format("{}\"re:m{}\"", i == 0 ? "" : ", ", i);
  }
  for (const std::string& description :
       {R"("quant_method": "gptq", "dynamic": {)" + dynamic + "}",
        R"("quant_method": "compressed-tensors", "config_groups": {}, "ignore": [)" + ignore +
            "]"}) {
    const auto found = find_quantization("{\"quantization_config\": {" + description + "}}", {});
    ASSERT_FALSE(found.ok());
    EXPECT_EQ(found.error().code, Errc::unsupported);
    EXPECT_EQ(found.error().message,
              "config.json: quantization_config: more than 4096 patterns of module names; list "
              "whole names, or fewer patterns that match more");
  }
}

// As exporters list what they leave out, expert by expert.
TEST(Quantization, TakesAnyNumberOfNames) {
  std::string names;
  for (int i = 0; i < 50'000; ++i) names += fmt::format("\"l.{}.mlp\", ", i);
  const auto found = find_quantization(
      R"({"quantization_config": {"quant_method": "modelopt", "quant_algo": "NVFP4", "ignore": [)" +
          names + "\"lm_head\"]}}",
      {});
  ASSERT_TRUE(found.ok()) << found.error().message;
  EXPECT_FALSE(found->scheme_of("l.49999.mlp").quantized);
  EXPECT_FALSE(found->scheme_of("l.1.mlp.up_proj").quantized);
  EXPECT_TRUE(found->scheme_of("l.1.mlp_up").quantized);
}

TEST(Quantization, PicksTheFirstRuleWhateverItsKind) {
  Quantization quantization{.method = QuantMethod::fp8, .label = "", .where = "", .rules = {}};
  const auto add = [&](ModulePattern pattern, std::int64_t bits) {
    quantization.rules.push_back({std::move(pattern), {.bits = bits}});
  };
  add(ModulePattern::exactly("a.b"), 1);
  add(ModulePattern::piece("c"), 2);
  add(ModulePattern::exactly("a.b"), 3);
  add(ModulePattern::exactly("a.c"), 4);
  add(ModulePattern::within("a"), 5);
  add(ModulePattern::linear_layers(), 6);
  const auto bits = [&](std::string_view module) { return quantization.scheme_of(module).bits; };
  EXPECT_EQ(bits("a.b"), 1);
  EXPECT_EQ(bits("a.c"), 2);
  EXPECT_EQ(bits("a.d"), 5);
  EXPECT_EQ(bits("a"), 5);
  EXPECT_EQ(bits("ab"), 6);
  EXPECT_EQ(bits("a_norm"), 0);
}

TEST(Quantization, ShowsNothingUnprintable) {
  const auto found =
      find_quantization("{\"quantization_config\": {\"quant_method\": \"\\u001b[31m" +
                            std::string(1000, 'x') + "\"}}",
                        {});
  ASSERT_FALSE(found.ok());
  EXPECT_EQ(found.error().message.find('\x1b'), std::string::npos);
  EXPECT_LT(found.error().message.size(), 500U);
}

TEST(Quantization, NamesTheFieldOfTheWrongType) {
  const auto message = [](const std::string& description) {
    const auto found = find_quantization("{\"quantization_config\": " + description + "}", {});
    return found.ok() ? "accepted: " + found->label : found.error().message;
  };
  EXPECT_EQ(message(R"({"quant_method": "awq", "bits": "four"})"),
            "config.json: quantization_config: bits: got \"four\", wanted an integer from 1 to 16");
  EXPECT_EQ(message(R"({"quant_method": "fp8", "weight_block_size": [128]})"),
            "config.json: quantization_config: weight_block_size: got [128], wanted two numbers "
            "such as [128, 128]");
  EXPECT_EQ(message(R"({"quant_method": "compressed-tensors", "config_groups": {"a": 3}})"),
            "config.json: quantization_config: config_groups: a: got 3, wanted an object");
  for (const std::string& sides :
       {std::string("128x"), std::string("1x2x3"), std::string("128,128"), std::string("1e2x4"),
        "1x" + std::string(20, '1')}) {
    EXPECT_EQ(
        message(R"({"quant_method": "compressed-tensors", "config_groups": {"a": {"weights":
                          {"num_bits": 8, "type": "float", "block_structure": ")" +
                sides + "\"}}}}"),
        "config.json: quantization_config: config_groups.a: weights: block_structure: got \"" +
            sides + "\", wanted two numbers such as [128, 128]");
  }
  EXPECT_EQ(
      message(R"({"quant_method": "gptq", "dynamic": {"-:a(": {}}})"),
      "config.json: quantization_config.dynamic: pattern 'a(': missing closing parenthesis at "
      "offset 2");
  EXPECT_EQ(
      message(R"({"quant_method": "compressed-tensors", "config_groups": {}, "ignore": [1]})"),
      "config.json: quantization_config: ignore: got [1], wanted a list of names");
}

// Which modules a list hits.
TEST(ModulePattern, MatchesAsEachExporterDoes) {
  const auto regex = [](const std::string& text) {
    return std::move(ModulePattern::regex(text)).value();
  };
  EXPECT_TRUE(regex(".*self_attn.*").matches("model.layers.3.self_attn.q_a_proj"));
  EXPECT_TRUE(regex("model.layers.[0-2]\\.").matches("model.layers.2.mlp.up_proj"));
  EXPECT_FALSE(regex("model.layers.[0-2]\\.").matches("model.layers.12.mlp.up_proj"));
  EXPECT_FALSE(regex("mlp").matches("model.layers.1.mlp.gate"));
  EXPECT_TRUE(regex(".*mlp\\.gate").matches("model.layers.1.mlp.gate_proj"));
  EXPECT_FALSE(regex(".*mlp\\.gate$").matches("model.layers.1.mlp.gate_proj"));
  EXPECT_TRUE(ModulePattern::exactly("lm_head").matches("lm_head"));
  EXPECT_FALSE(ModulePattern::exactly("lm_head").matches("model.lm_head"));
  EXPECT_FALSE(ModulePattern::piece("mlp.gate.").matches("model.layers.1.mlp.gate_proj"));
  EXPECT_TRUE(ModulePattern::piece("mlp.gate.").matches("model.layers.1.mlp.gate"));
  const ModulePattern first = ModulePattern::wildcard("model.layers.0*");
  EXPECT_TRUE(first.matches("model.layers.0.mlp.up_proj"));
  for (const char* layer : {"1", "2", "9", "10"}) {
    EXPECT_FALSE(first.matches(fmt::format("model.layers.{}.mlp.up_proj", layer)));
  }
  const ModulePattern forties = ModulePattern::wildcard("model.layers.4*");
  EXPECT_TRUE(forties.matches("model.layers.4.mlp.up_proj"));
  EXPECT_TRUE(forties.matches("model.layers.47.mlp.up_proj"));
  EXPECT_TRUE(ModulePattern::wildcard("*.mlp.gate").matches("model.layers.1.mlp.gate"));
  EXPECT_FALSE(ModulePattern::wildcard("*.mlp.gate").matches("model.layers.1.mlp.gate_proj"));
  EXPECT_TRUE(ModulePattern::wildcard("layer?.[a-c]x").matches("layer7.bx"));
  EXPECT_FALSE(ModulePattern::wildcard("layer?.[!a-c]x").matches("layer7.bx"));
}

TEST(ModulePattern, TakesAWildcardThatIsTooLongForAName) {
  for (const char* part : {"[", "*", "?a"}) {
    std::string text;
    while (text.size() < 1'000'000) text += part;
    const ModulePattern pattern = ModulePattern::wildcard(text);
    EXPECT_TRUE(pattern.matches(text));
    EXPECT_FALSE(pattern.matches("a"));
  }
}

TEST(ModulePattern, GivesUpOnExponentialPatterns) {
  const auto pattern = std::move(ModulePattern::regex("(a+)+$")).value();
  EXPECT_FALSE(pattern.matches(std::string(64, 'a') + "b"));
}

// Exact names before regular expressions before classes; ignore before all of them.
TEST(Quantization, PicksTheGroupInTheOrderOfTheLibrary) {
  const auto found = find_quantization(R"({"quantization_config": {
      "quant_method": "compressed-tensors", "format": "mixed-precision", "config_groups": {
        "a": {"targets": ["Linear"], "weights": {"num_bits": 4, "group_size": 32}},
        "b": {"targets": ["re:.*attn.*"], "weights": {"num_bits": 8, "group_size": 64}},
        "c": {"targets": ["l.attn.q"], "weights": {"num_bits": 8, "group_size": 128}}},
      "ignore": ["lm_head", "re:.*skip"]}})",
                                       {});
  ASSERT_TRUE(found.ok()) << found.error().message;
  EXPECT_EQ(found->scheme_of("l.mlp.up_proj").group, 32);
  EXPECT_EQ(found->scheme_of("l.attn.k").group, 64);
  EXPECT_EQ(found->scheme_of("l.attn.q").group, 128);
  EXPECT_FALSE(found->scheme_of("lm_head").quantized);
  EXPECT_FALSE(found->scheme_of("l.attn.skip").quantized);
  EXPECT_FALSE(found->scheme_of("l.mlp.gate").quantized);
  EXPECT_FALSE(found->scheme_of("model.embed_tokens").quantized);
}

}  // namespace
}  // namespace glm::runner
