// The readers of packed integers of compressed-tensors on published vectors and on damaged modules.
#include "tests/checkpoint/module_fixture.h"

namespace glm::runner {
namespace {

using fakes::bf16_tensor;
using fakes::FakeTensors;
using fakes::i32_tensor;
using fakes::i64_tensor;

// The published mini layer.
FakeTensors mini_layer() {
  return {{"m.weight_packed", i32_tensor({2, 4}, {0x3E94FA50, 0xB61C72D8, 0x3E94FA50, 0xB61C72D8,
                                                  0x630DA741, 0xEB852FC9, 0x630DA741, 0xEB852FC9})},
          {"m.weight_scale", bf16_tensor({2, 1}, {0.0123F, 0.5F})},
          {"m.weight_shape", i64_tensor({2}, {2, 32})}};
}

class CompressedTensors : public ModuleFixture {
 protected:
  std::string error(const FakeTensors& tensors) { return ModuleFixture::error(tensors, {2, 32}); }
};

TEST_F(CompressedTensors, ReadsTheMiniLayer) {
  const std::vector<float> got = values(mini_layer(), {2, 32});
  ASSERT_EQ(got.size(), 64U);
  const float scale = kernels::bf16_to_f32(kernels::f32_to_bf16(0.0123F));
  for (int k = 0; k < 32; ++k) {
    const float first = static_cast<float>(5 * k % 16 - 8) * scale;
    EXPECT_EQ(got[static_cast<std::size_t>(k)], kernels::bf16_to_f32(kernels::f32_to_bf16(first)));
    EXPECT_EQ(got[static_cast<std::size_t>(32 + k)],
              static_cast<float>((3 * k + 1) % 16 - 8) * 0.5F);
  }
}

TEST_F(CompressedTensors, ReadsEightBits) {
  EXPECT_EQ(values({{"m.weight_packed", i32_tensor({1, 2}, {0xFF807F00, 0x807FFF00})},
                    {"m.weight_scale", bf16_tensor({1, 1}, {1})},
                    {"m.weight_shape", i64_tensor({2}, {1, 8})}},
                   {1, 8}),
            (std::vector<float>{-128, -1, 0, 127, -128, 127, -1, 0}));
}

// A word holds up to four columns of either width.
TEST_F(CompressedTensors, BelievesTheConfigurationAboutTheWidthOfShortRows) {
  const FakeTensors tensors = {{"m.weight_packed", i32_tensor({1, 1}, {0xFF807F00})},
                               {"m.weight_scale", bf16_tensor({1, 1}, {1})},
                               {"m.weight_shape", i64_tensor({2}, {1, 4})}};
  expect({.method = QuantMethod::compressed_tensors, .bits = 8});
  EXPECT_EQ(values(tensors, {1, 4}), (std::vector<float>{-128, -1, 0, 127}));
  expect({.method = QuantMethod::compressed_tensors, .bits = 4});
  EXPECT_EQ(values(tensors, {1, 4}), (std::vector<float>{-8, -8, 7, -1}));
}

TEST_F(CompressedTensors, NamesTheTensorThatIsMissing) {
  for (const char* part : {"m.weight_scale", "m.weight_shape"}) {
    FakeTensors tensors = mini_layer();
    tensors.erase(part);
    EXPECT_EQ(error(tensors), fmt::format("tensor '{}' is missing", part));
  }
}

TEST_F(CompressedTensors, ReadsARaggedRow) {
  EXPECT_EQ(values({{"m.weight_packed", i32_tensor({1, 2}, {0xA4D78F0B, 0x00000169})},
                    {"m.weight_scale", bf16_tensor({1}, {1})},
                    {"m.weight_shape", i64_tensor({2}, {1, 11})}},
                   {1, 11}),
            (std::vector<float>{3, -8, 7, 0, -1, 5, -4, 2, 1, -2, -7}));
}

TEST_F(CompressedTensors, RepeatsTheScaleOfAWholeTensor) {
  FakeTensors tensors = mini_layer();
  tensors["m.weight_scale"] = bf16_tensor({1}, {0.5F});
  const std::vector<float> got = values(tensors, {2, 32});
  EXPECT_EQ(got[0], -4.0F);
  EXPECT_EQ(got[32], -3.5F);
}

TEST_F(CompressedTensors, DropsZeroPointsThatAreZero) {
  FakeTensors tensors = mini_layer();
  tensors["m.weight_zero_point"] = i32_tensor({1, 1}, {0x00000088});
  expect({.method = QuantMethod::compressed_tensors, .symmetric = true});
  EXPECT_EQ(label(tensors, {2, 32}), "int4 channel (compressed-tensors)");
  tensors["m.weight_zero_point"] = i32_tensor({1, 1}, {0x00000089});
  EXPECT_EQ(label(tensors, {2, 32}), "int4 asym channel (compressed-tensors)");
}

TEST_F(CompressedTensors, SubtractsZeroPoints) {
  // q = 5, z = -3 with the same scale gives eight scales, rounded once.
  FakeTensors tensors = {{"m.weight_packed", i32_tensor({1, 1}, {0xDDDDDDDD})},
                         {"m.weight_scale", bf16_tensor({1, 1}, {0.0123F})},
                         {"m.weight_shape", i64_tensor({2}, {1, 8})},
                         {"m.weight_zero_point", i32_tensor({1, 1}, {0x00000005})}};
  EXPECT_EQ(as_bf16(values(tensors, {1, 8})), std::vector<std::uint16_t>(8, 0x3DCA));
  // Older files hold them as signed bytes.
  tensors["m.weight_zero_point"] = fakes::byte_tensor("I8", {1, 1}, {0xFD});
  EXPECT_EQ(as_bf16(values(tensors, {1, 8})), std::vector<std::uint16_t>(8, 0x3DCA));
  tensors["m.weight_zero_point"] = fakes::byte_tensor("I8", {1, 1}, {0x08});
  EXPECT_EQ(ModuleFixture::error(tensors, {1, 8}),
            "tensor 'm.weight_zero_point': a zero point of 8 for 4-bit weights");
}

TEST_F(CompressedTensors, FindsPackedZeroPointsAlongTheOutputs) {
  const FakeTensors tensors = {
      {"m.weight_packed", i32_tensor({10, 2}, std::vector<std::uint32_t>(20, 0x88888888))},
      {"m.weight_scale", bf16_tensor({10, 2}, std::vector<float>(20, 1))},
      {"m.weight_shape", i64_tensor({2}, {10, 16})},
      {"m.weight_zero_point",
       i32_tensor({2, 2}, {0x7FBA9850, 0x88888888, 0x0000003C, 0x00000088})}};
  const std::vector<float> got = values(tensors, {10, 16});
  constexpr float kZeros[] = {-8, -3, 0, 1, 2, 3, 7, -1, 4, -5};
  ASSERT_EQ(got.size(), 160U);
  for (std::size_t r = 0; r < 10; ++r) {
    EXPECT_EQ(got[r * 16 + 3], -kZeros[r]);
    EXPECT_EQ(got[r * 16 + 9], 0);
  }
}

TEST_F(CompressedTensors, WantsZeroPointsWhereTheConfigurationDoes) {
  expect({.method = QuantMethod::compressed_tensors, .symmetric = false});
  EXPECT_EQ(error(mini_layer()),
            "module 'm': tensor 'weight_zero_point' is missing, and the configuration says the "
            "weights are asymmetric");
}

TEST_F(CompressedTensors, IsHeldAgainstTheConfiguration) {
  expect({.method = QuantMethod::compressed_tensors, .bits = 8});
  EXPECT_EQ(error(mini_layer()), "module 'm': the configuration says bits 8, its tensors 4");
  expect({.method = QuantMethod::compressed_tensors, .bits = 4, .group = 16});
  EXPECT_EQ(error(mini_layer()),
            "module 'm': the configuration says group_size 16, its tensors 32");
  expect({.method = QuantMethod::compressed_tensors, .bits = 4, .group = -1});
  EXPECT_EQ(error(mini_layer()), "accepted");
}

FakeTensors ordered_module(std::uint32_t word, const std::vector<std::uint32_t>& g_idx) {
  return {{"m.weight_packed", i32_tensor({1, 1}, {word})},
          {"m.weight_scale", bf16_tensor({1, 2}, {0.5F, 0.25F})},
          {"m.weight_shape", i64_tensor({2}, {1, 8})},
          {"m.weight_g_idx", i32_tensor({8}, g_idx)}};
}

TEST_F(CompressedTensors, FollowsTheActivationOrder) {
  const FakeTensors tensors = ordered_module(0xA4D78F0B, {0, 1, 0, 1, 1, 0, 0, 1});
  EXPECT_EQ(values(tensors, {1, 8}),
            (std::vector<float>{1.5F, -2, 3.5F, 0, -0.25F, 2.5F, -2, 0.5F}));
  EXPECT_EQ(label(tensors, {1, 8}), "int4 g4 act-order (compressed-tensors)");
}

TEST_F(CompressedTensors, TakesAnOrderThatWasNeverSetForNone) {
  const FakeTensors tensors = ordered_module(0xA4D78F0B, std::vector<std::uint32_t>(8, 0xFFFFFFFF));
  EXPECT_EQ(values(tensors, {1, 8}),
            (std::vector<float>{1.5F, -4, 3.5F, 0, -0.25F, 1.25F, -1, 0.5F}));
  EXPECT_EQ(label(tensors, {1, 8}), "int4 g4 (compressed-tensors)");
}

TEST_F(CompressedTensors, NamesTheColumnOfNoGroup) {
  EXPECT_EQ(ModuleFixture::error(ordered_module(0, {0, 0, 0, 0, 1, 1, 1, 2}), {1, 8}),
            "tensor 'm.weight_g_idx': column 7 is in group 2, there are 2");
  EXPECT_EQ(ModuleFixture::error(ordered_module(0, {0, 0, 0, 0, 0, 1, 1, 1}), {1, 8}),
            "tensor 'm.weight_g_idx': group 0 has 5 columns, wanted 4");
  FakeTensors tensors = ordered_module(0, {0, 0, 0, 0, 1, 1, 1, 1});
  tensors["m.weight_g_idx"] = i32_tensor({3}, {0, 0, 0});
  EXPECT_EQ(ModuleFixture::error(tensors, {1, 8}),
            "tensor 'm.weight_g_idx': got i32 [3], wanted i32 [8]");
}

TEST_F(CompressedTensors, NamesTheTensorThatDisagrees) {
  FakeTensors tensors = mini_layer();
  tensors["m.weight_shape"] = i64_tensor({2}, {2, 40});
  EXPECT_EQ(error(tensors),
            "tensor 'm.weight_packed': got i32 [2, 4], wanted i32 [2, 5] for 4-bit or [2, 10] for "
            "8-bit weights");
  tensors["m.weight_shape"] = i64_tensor({2}, {-2, 32});
  EXPECT_EQ(error(tensors),
            "tensor 'm.weight_shape' says [-2, 32], but 'm.weight_packed' is i32 [2, 4]");
  tensors["m.weight_shape"] = i64_tensor({2}, {2, INT64_MAX});
  EXPECT_EQ(error(tensors),
            "tensor 'm.weight_shape' says [2, 9223372036854775807], but 'm.weight_packed' is i32 "
            "[2, 4]");
  tensors["m.weight_shape"] = i64_tensor({1}, {2});
  EXPECT_EQ(error(tensors), "tensor 'm.weight_shape': got i64 [1], wanted i64 [2]");
  tensors = mini_layer();
  tensors["m.weight_scale"] = bf16_tensor({2, 5}, std::vector<float>(10, 1));
  EXPECT_EQ(error(tensors),
            "tensor 'm.weight_scale': got bf16 [2, 5], wanted a float [2, n] with n a divisor of "
            "32");
  EXPECT_EQ(
      load(mini_layer(), {2, 31}).error().message,
      "module 'm': got a int4 channel (compressed-tensors) weight of [2, 32], wanted [2, 31]");
}

}  // namespace
}  // namespace glm::runner
