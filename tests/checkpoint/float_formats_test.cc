// NVFP4, MXFP4, FP8 and plain int8: published vectors, geometries of scales, damaged modules.
#include "tests/checkpoint/module_fixture.h"

namespace glm::runner {
namespace {

using fakes::bf16_tensor;
using fakes::byte_tensor;
using fakes::f32_tensor;
using fakes::FakeTensors;
using Bits = std::vector<std::uint16_t>;

class Fp4 : public ModuleFixture {};
class Scaled : public ModuleFixture {};

// -1, 1, .5, 6, 0, -6, -2, -0, 3, 1.5, 4, -3, -1.5, 2, -4, -.5
const std::vector<std::uint8_t> kCodes = {0x2A, 0x71, 0xF0, 0x8C, 0x35, 0xD6, 0x4B, 0x9E};

float from_bits(std::uint32_t bits) {
  return std::bit_cast<float>(bits);
}

FakeTensors modelopt(std::uint8_t scale, float global) {
  return {{"m.weight", byte_tensor("U8", {1, 8}, kCodes)},
          {"m.weight_scale", byte_tensor("F8_E4M3", {1, 1}, {scale})},
          {"m.weight_scale_2", f32_tensor({}, {global})},
          {"m.input_scale", f32_tensor({}, {1})}};
}
FakeTensors compressed(std::uint8_t scale, float global) {
  return {{"m.weight_packed", byte_tensor("U8", {1, 8}, kCodes)},
          {"m.weight_scale", byte_tensor("F8_E4M3", {1, 1}, {scale})},
          {"m.weight_global_scale", f32_tensor({1}, {global})},
          {"m.input_global_scale", f32_tensor({1}, {1})}};
}

TEST_F(Fp4, ReadsTheRamp) {
  FakeTensors tensors = modelopt(0x38, 1);
  tensors["m.weight"] = byte_tensor("U8", {1, 8}, {0x10, 0x32, 0x54, 0x76, 0x98, 0xBA, 0xDC, 0xFE});
  EXPECT_EQ(values(tensors, {1, 16}), (std::vector<float>{0, .5F, 1, 1.5F, 2, 3, 4, 6, -0.0F, -.5F,
                                                          -1, -1.5F, -2, -3, -4, -6}));
}

TEST_F(Fp4, RoundsAsBothExportersDo) {
  struct Row {
    std::uint8_t scale;
    Bits want;
  };
  const Row rows[] = {
      {0x38,
       {0xBA12, 0x3A12, 0x3992, 0x3B5B, 0x0000, 0xBB5B, 0xBA92, 0x8000, 0x3ADB, 0x3A5B, 0x3B12,
        0xBADB, 0xBA5B, 0x3A92, 0xBB12, 0xB992}},
      {0x5C,
       {0xBC5B, 0x3C5B, 0x3BDB, 0x3DA5, 0x0000, 0xBDA5, 0xBCDB, 0x8000, 0x3D25, 0x3CA5, 0x3D5B,
        0xBD25, 0xBCA5, 0x3CDB, 0xBD5B, 0xBBDB}},
      {0x7E,
       {0xBE80, 0x3E80, 0x3E00, 0x3FC0, 0x0000, 0xBFC0, 0xBF00, 0x8000, 0x3F40, 0x3EC0, 0x3F80,
        0xBF40, 0xBEC0, 0x3F00, 0xBF80, 0xBE00}},
  };
  for (const Row& row : rows) {
    EXPECT_EQ(as_bf16(values(modelopt(row.scale, from_bits(0x3A124925)), {1, 16})), row.want);
    EXPECT_EQ(as_bf16(values(compressed(row.scale, 1792), {1, 16})), row.want);
  }
  EXPECT_EQ(label(modelopt(0x38, 1), {1, 16}), "nvfp4 (ModelOpt)");
  EXPECT_EQ(label(compressed(0x38, 1), {1, 16}), "nvfp4 (compressed-tensors)");
}

// 24 / 1792 and 24 * (1 / 1792) differ in the last bit, and so must the weights.
TEST_F(Fp4, KeepsTheConventionOfTheGlobalScale) {
  EXPECT_EQ(std::bit_cast<std::uint32_t>(values(modelopt(0x5C, from_bits(0x3A124925)), {1, 16})[1]),
            0x3C5B6DB8U);
  EXPECT_EQ(std::bit_cast<std::uint32_t>(values(compressed(0x5C, 1792), {1, 16})[1]), 0x3C5B6DB7U);
}

TEST_F(Fp4, IsExactForPowersOfTwo) {
  const std::vector<float> want = {
      -0.0126953125F,  0.0126953125F, 0.00634765625F, 0.076171875F,   0,           -0.076171875F,
      -0.025390625F,   -0.0F,         0.0380859375F,  0.01904296875F, 0.05078125F, -0.0380859375F,
      -0.01904296875F, 0.025390625F,  -0.05078125F,   -0.00634765625F};
  EXPECT_EQ(values(modelopt(0x4D, 0x1p-9F), {1, 16}), want);
  EXPECT_EQ(values(compressed(0x4D, 512), {1, 16}), want);
}

TEST_F(Fp4, ReadsMxfp4) {
  std::vector<std::uint8_t> codes = kCodes;
  codes.insert(codes.end(), kCodes.begin(), kCodes.end());
  FakeTensors tensors = {{"m.weight_packed", byte_tensor("U8", {1, 16}, codes)},
                         {"m.weight_scale", byte_tensor("U8", {1, 1}, {121})}};
  const std::vector<float> got = values(tensors, {1, 32});
  const std::vector<float> want = {-0.015625F,  0.015625F,  0.0078125F, 0.09375F,
                                   0,           -0.09375F,  -0.03125F,  -0.0F,
                                   0.046875F,   0.0234375F, 0.0625F,    -0.046875F,
                                   -0.0234375F, 0.03125F,   -0.0625F,   -0.0078125F};
  EXPECT_EQ(std::vector<float>(got.begin(), got.begin() + 16), want);
  EXPECT_EQ(label(tensors, {1, 32}), "mxfp4 (compressed-tensors)");
  tensors["m.weight_scale"] = byte_tensor("F8_E8M0", {1, 1}, {130});
  EXPECT_EQ(values(tensors, {1, 32})[0], -8.0F);
  tensors["m.weight_scale"] = byte_tensor("U8", {1, 1}, {255});
  EXPECT_EQ(error(tensors, {1, 32}),
            "tensor 'm.weight_scale': a scale is not a number (code 0xff)");
}

TEST_F(Fp4, NamesWhatIsDamaged) {
  EXPECT_EQ(error(modelopt(0x7F, 1), {1, 16}),
            "tensor 'm.weight_scale': a scale is not a number (code 0x7f)");
  EXPECT_EQ(error(modelopt(0x38, NAN), {1, 16}),
            "tensor 'm.weight_scale_2': got a global scale of nan, wanted a positive number");
  EXPECT_EQ(error(compressed(0x38, 0), {1, 16}),
            "tensor 'm.weight_global_scale': got a global scale of 0, wanted a positive number");
  FakeTensors tensors = modelopt(0x38, 1);
  tensors["m.weight_scale"] = byte_tensor("F8_E4M3", {1, 2}, {1, 1});
  EXPECT_EQ(error(tensors, {1, 16}),
            "tensor 'm.weight_scale': got f8_e4m3 [1, 2], wanted [1, 1], one for 16 columns");
  tensors = modelopt(0x38, 1);
  tensors["m.weight"] = byte_tensor("U8", {1, 7}, {1, 2, 3, 4, 5, 6, 7});
  EXPECT_EQ(error(tensors, {1, 14}),
            "tensor 'm.weight': got u8 [1, 7], wanted u8 [out, n] with n a multiple of 8");
  tensors = modelopt(0x38, 1);
  tensors["m.pre_quant_scale"] = f32_tensor({16}, std::vector<float>(16, 1));
  EXPECT_EQ(error(tensors, {1, 16}),
            "module 'm': NVFP4 with scales on the activations (pre_quant_scale) is not supported; "
            "pull a plain NVFP4 checkpoint");
}

TEST_F(Fp4, NamesTheGlobalScaleThatIsMissing) {
  FakeTensors tensors = compressed(0x38, 1);
  tensors.erase("m.weight_global_scale");
  EXPECT_EQ(error(tensors, {1, 16}), "tensor 'm.weight_global_scale' is missing");
  tensors = modelopt(0x38, 1);
  tensors.erase("m.weight_scale_2");
  EXPECT_EQ(error(tensors, {1, 16}), "tensor 'm.weight_scale_2' is missing");
}

TEST_F(Fp4, NotesNegativeScales) {
  EXPECT_EQ(values(modelopt(0xB8, 1), {1, 16})[0], 1);
  EXPECT_THAT(notes_, testing::ElementsAre("tensor 'm.weight_scale' holds negative scales"));
}

FakeTensors fp8_vector(const fakes::FakeTensor& scale) {
  return {{"m.weight", byte_tensor("F8_E4M3", {1, 6}, {0x38, 0xB8, 0x7E, 0x01, 0x4D, 0x00})},
          {"m.weight_scale", scale}};
}

TEST_F(Scaled, ReadsTheVectorWithAnyScaleOfOneOutput) {
  expect({.method = QuantMethod::compressed_tensors, .bits = 8});
  const Bits want = {0x3AA1, 0xBAA1, 0x3F0D, 0x3621, 0x3C03, 0x0000};
  for (const std::vector<std::int64_t>& shape :
       std::vector<std::vector<std::int64_t>>{{}, {1}, {1, 1}}) {
    EXPECT_EQ(as_bf16(values(fp8_vector(f32_tensor(shape, {0.00123F})), {1, 6})), want);
  }
  EXPECT_EQ(values(fp8_vector(f32_tensor({}, {1})), {1, 6}),
            (std::vector<float>{1, -1, 448, 0.001953125F, 6.5F, 0}));
}

TEST_F(Scaled, TellsChannelFromTensorFromGroup) {
  expect({.method = QuantMethod::compressed_tensors, .bits = 8});
  FakeTensors tensors = {
      {"m.weight", byte_tensor("F8_E4M3", {2, 4}, std::vector<std::uint8_t>(8, 0x38))},
      {"m.weight_scale", f32_tensor({2, 1}, {2, 3})}};
  EXPECT_EQ(values(tensors, {2, 4}), (std::vector<float>{2, 2, 2, 2, 3, 3, 3, 3}));
  EXPECT_EQ(label(tensors, {2, 4}), "fp8 channel (compressed-tensors)");
  tensors["m.weight_scale"] = bf16_tensor({2}, {2, 3});
  EXPECT_EQ(values(tensors, {2, 4}), (std::vector<float>{2, 2, 2, 2, 3, 3, 3, 3}));
  tensors["m.weight_scale"] = f32_tensor({1}, {5});
  EXPECT_EQ(values(tensors, {2, 4}), std::vector<float>(8, 5));
  EXPECT_EQ(label(tensors, {2, 4}), "fp8 tensor (compressed-tensors)");
  tensors["m.weight_scale"] = f32_tensor({2, 2}, {1, 2, 3, 4});
  EXPECT_EQ(values(tensors, {2, 4}), (std::vector<float>{1, 1, 2, 2, 3, 3, 4, 4}));
  EXPECT_EQ(label(tensors, {2, 4}), "fp8 g2 (compressed-tensors)");
  tensors["m.weight_scale"] = f32_tensor({2, 3}, std::vector<float>(6, 1));
  EXPECT_EQ(error(tensors, {2, 4}),
            "tensor 'm.weight_scale': got f32 [2, 3], wanted [1], [2, 1], [1, 1] for blocks of "
            "128x128, or [2, n] with n a divisor of 4");
}

TEST_F(Scaled, ReadsRaggedBlocks) {
  expect({.method = QuantMethod::fp8, .bits = 8});
  constexpr std::int64_t kRows = 576;
  constexpr std::int64_t kCols = 300;
  std::vector<float> scales;
  for (int i = 0; i < 5 * 3; ++i) scales.push_back(static_cast<float>(i + 1));
  const FakeTensors tensors = {
      {"m.weight",
       byte_tensor("F8_E4M3", {kRows, kCols}, std::vector<std::uint8_t>(kRows * kCols, 0x38))},
      {"m.weight_scale_inv", f32_tensor({5, 3}, scales)}};
  const std::vector<float> got = values(tensors, {kRows, kCols});
  ASSERT_EQ(got.size(), static_cast<std::size_t>(kRows * kCols));
  for (std::int64_t r = 0; r < kRows; ++r) {
    for (std::int64_t c = 0; c < kCols; ++c) {
      ASSERT_EQ(got[static_cast<std::size_t>(r * kCols + c)],
                scales[static_cast<std::size_t>(r / 128 * 3 + c / 128)]);
    }
  }
  EXPECT_EQ(label(tensors, {kRows, kCols}), "fp8 block 128x128");
  // A part of it that begins inside a block.
  const auto weight = load(tensors, {kRows, kCols});
  std::vector<float> part(2 * kCols);
  kernels::decode_rows(weight->view().row_slice(100, 300), 155, 2, part);
  EXPECT_EQ(part[0], 4);      // row 255
  EXPECT_EQ(part[kCols], 7);  // row 256
}

TEST_F(Scaled, ReadsMxfp8) {
  expect({.method = QuantMethod::compressed_tensors, .bits = 8});
  const FakeTensors tensors = {
      {"m.weight", byte_tensor("F8_E4M3", {1, 64}, std::vector<std::uint8_t>(64, 0x38))},
      {"m.weight_scale", byte_tensor("U8", {1, 2}, {126, 128})}};
  const std::vector<float> got = values(tensors, {1, 64});
  EXPECT_EQ(got[31], 0.5F);
  EXPECT_EQ(got[32], 2.0F);
  EXPECT_EQ(label(tensors, {1, 64}), "mxfp8 (compressed-tensors)");
}

TEST_F(Scaled, ReadsInt8) {
  expect({.method = QuantMethod::compressed_tensors, .bits = 8});
  FakeTensors tensors = {
      {"m.weight", byte_tensor("I8", {2, 5}, {0x80, 0xFF, 0, 1, 0x7F, 1, 2, 3, 4, 5})},
      {"m.weight_scale", bf16_tensor({2, 1}, {1, 0.5F})}};
  EXPECT_EQ(values(tensors, {2, 5}),
            (std::vector<float>{-128, -1, 0, 1, 127, 0.5F, 1, 1.5F, 2, 2.5F}));
  EXPECT_EQ(label(tensors, {2, 5}), "int8 channel (compressed-tensors)");
  tensors["m.weight_zero_point"] = byte_tensor("I8", {2, 1}, {0xFE, 3});
  EXPECT_EQ(values(tensors, {2, 5}),
            (std::vector<float>{-126, 1, 2, 3, 129, -1, -0.5F, 0, 0.5F, 1}));
  tensors.erase("m.weight_zero_point");
  tensors["m.weight_scale"] = f32_tensor({1}, {2});
  EXPECT_EQ(values(tensors, {2, 5})[9], 10);
}

// One scale for 128 rows and columns is FP8's way; here [2, 1] of 256 rows is nobody's.
TEST_F(Scaled, KnowsNoBlocksOfInt8) {
  expect({.method = QuantMethod::compressed_tensors, .bits = 8});
  EXPECT_EQ(error({{"m.weight", byte_tensor("I8", {256, 2}, std::vector<std::uint8_t>(512, 1))},
                   {"m.weight_scale", bf16_tensor({2, 1}, {1, 1})}},
                  {256, 2}),
            "tensor 'm.weight_scale': got bf16 [2, 1], wanted [1], [256, 1], or [256, n] with n a "
            "divisor of 2");
  // What would be two blocks of one row are two groups.
  EXPECT_EQ(label({{"m.weight", byte_tensor("I8", {1, 256}, std::vector<std::uint8_t>(256, 1))},
                   {"m.weight_scale", bf16_tensor({1, 2}, {1, 1})}},
                  {1, 256}),
            "int8 g128 (compressed-tensors)");
}

// Weights that were prepared for quantization and stored as floats.
TEST_F(Scaled, TakesFloatsWithScalesForPlainWhereNothingIsQuantized) {
  const FakeTensors tensors = {{"m.weight", bf16_tensor({1, 2}, {1, -2})},
                               {"m.weight_scale", bf16_tensor({1, 1}, {0.5F})}};
  configure(R"({"quant_method": "compressed-tensors", "format": "fakequant"})");
  EXPECT_EQ(values(tensors, {1, 2}), (std::vector<float>{1, -2}));
  expect({.method = QuantMethod::compressed_tensors, .bits = 8});
  EXPECT_THAT(error(tensors, {1, 2}), testing::HasSubstr("is not supported"));
}

TEST_F(Scaled, WantsZeroPointsOfInt8WhereTheConfigurationDoes) {
  expect({.method = QuantMethod::compressed_tensors, .bits = 8, .symmetric = false});
  EXPECT_EQ(error({{"m.weight", byte_tensor("I8", {1, 2}, {1, 2})},
                   {"m.weight_scale", bf16_tensor({1, 1}, {1})}},
                  {1, 2}),
            "module 'm': tensor 'weight_zero_point' is missing, and the configuration says the "
            "weights are asymmetric");
}

TEST_F(Scaled, RefusesNumbersThatAreNone) {
  FakeTensors tensors = fp8_vector(f32_tensor({}, {1}));
  tensors["m.weight"] = byte_tensor("F8_E4M3", {1, 6}, {0x38, 0xB8, 0x7E, 0xFF, 0x4D, 0x00});
  EXPECT_EQ(error(tensors, {1, 6}), "tensor 'm.weight': element 3 is not a number");
}

TEST_F(Scaled, RefusesFp8WithoutScales) {
  FakeTensors tensors = fp8_vector(f32_tensor({}, {1}));
  tensors.erase("m.weight_scale");
  EXPECT_EQ(error(tensors, {1, 6}),
            "module 'm': FP8 without scales is not supported (recognised by m.weight, f8_e4m3 [1, "
            "6]); pull this model unquantized, or as compressed-tensors, AWQ, GPTQ, ModelOpt NVFP4 "
            "or FP8");
}

}  // namespace
}  // namespace glm::runner
