// The reader of compressed-tensors on published vectors and on damaged modules.
#include <gtest/gtest.h>

#include "kernels/weight_format.h"
#include "runner/checkpoint/weight_loader.h"
#include "tests/fakes/tiny_random_model.h"

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

class CompressedTensors : public testing::Test {
 protected:
  Result<HostWeight> load(const FakeTensors& tensors, WeightShape shape) {
    fakes::write_safetensors(folder_.path() / "model.safetensors", tensors);
    checkpoint_ = std::make_unique<Checkpoint>(
        std::move(Checkpoint::open(std::move(files_in(folder_.path())).value())).value());
    return WeightLoader(*checkpoint_, {}, {}).weight("m", shape);
  }
  std::vector<float> values(const FakeTensors& tensors, WeightShape shape) {
    const auto weight = load(tensors, shape);
    EXPECT_TRUE(weight.ok()) << weight.error().message;
    if (!weight.ok()) return {};
    std::vector<float> out(static_cast<std::size_t>(shape.rows * shape.cols));
    kernels::decode_rows(weight->view(), 0, shape.rows, out);
    return out;
  }
  std::string error(const FakeTensors& tensors) {
    const auto weight = load(tensors, {2, 32});
    return weight.ok() ? "accepted" : weight.error().message;
  }
  fakes::TemporaryFolder folder_;
  std::unique_ptr<Checkpoint> checkpoint_;
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

TEST_F(CompressedTensors, AcceptsZeroPointsThatAreZero) {
  FakeTensors tensors = mini_layer();
  tensors["m.weight_zero_point"] = i32_tensor({1, 1}, {0x00000088});
  EXPECT_EQ(error(tensors), "accepted");
  tensors["m.weight_zero_point"] = i32_tensor({1, 1}, {0x00000089});
  EXPECT_EQ(error(tensors),
            "tensor 'm.weight_zero_point': asymmetric weights are not supported yet, only "
            "symmetric ones");
}

TEST_F(CompressedTensors, AcceptsAnOrderThatIsNone) {
  FakeTensors tensors = mini_layer();
  tensors["m.weight_g_idx"] = i32_tensor({32}, std::vector<std::uint32_t>(32, 0xFFFFFFFF));
  EXPECT_EQ(error(tensors), "accepted");
  tensors["m.weight_g_idx"] = i32_tensor({32}, std::vector<std::uint32_t>(32, 0));
  EXPECT_EQ(error(tensors), "accepted");
  std::vector<std::uint32_t> order(32, 0);
  order[7] = 1;
  tensors["m.weight_g_idx"] = i32_tensor({32}, order);
  EXPECT_EQ(error(tensors),
            "tensor 'm.weight_g_idx': activation order (actorder: group) is not supported yet; a "
            "checkpoint made with actorder weight or without it is");
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
