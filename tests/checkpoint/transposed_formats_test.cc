// AWQ and GPTQ: published vectors, and random layers against a decoder written from the layouts.
#include <random>

#include "tests/checkpoint/module_fixture.h"

namespace glm::runner {
namespace {

using fakes::f16_tensor;
using fakes::FakeTensors;
using fakes::i32_tensor;

class Awq : public ModuleFixture {};
class Gptq : public ModuleFixture {};

// One input: q = 11,0,15,8,7,13,4,10, z = 7,8,8,8,8,9,6,8.
FakeTensors awq_vector() {
  return {{"m.qweight", i32_tensor({1, 1}, {0xAD8047FB})},
          {"m.qzeros", i32_tensor({1, 1}, {0x89886887})},
          {"m.scales", f16_tensor({1, 8}, {0.0123F, 0.5F, 0.25F, 1, 0.125F, 2, 0.0625F, 0.75F})}};
}

TEST_F(Awq, ReadsTheVector) {
  expect({.method = QuantMethod::awq, .bits = 4, .group = -1, .symmetric = false});
  EXPECT_EQ(values(awq_vector(), {8, 1}),
            (std::vector<float>{0.0491943359375F, -4, 1.75F, 0, -0.125F, 8, -0.125F, 1.5F}));
  EXPECT_EQ(label(awq_vector(), {8, 1}), "int4 asym channel (AWQ)");
}

TEST_F(Awq, TakesTheMiddleWhereThereAreNoZeros) {
  FakeTensors tensors = awq_vector();
  tensors.erase("m.qzeros");
  const std::vector<float> got = values(tensors, {8, 1});
  EXPECT_EQ(got[1], -4.0F);
  EXPECT_EQ(got[2], 1.75F);
  EXPECT_THAT(notes_, testing::ElementsAre("module 'm' has no qzeros: 8 is taken for all"));
}

TEST_F(Awq, RefusesOtherVersions) {
  FakeTensors tensors = {{"m.qweight", i32_tensor({8, 2}, std::vector<std::uint32_t>(16, 0))},
                         {"m.qzeros", i32_tensor({8, 1}, std::vector<std::uint32_t>(8, 0))},
                         {"m.scales", f16_tensor({8, 8}, std::vector<float>(64, 1))}};
  EXPECT_EQ(error(tensors, {8, 16}),
            "module 'm': m.qweight i32 [8, 2] is a version of AWQ other than gemm, which is the "
            "one that is read; pull a gemm checkpoint, or compressed-tensors");
}

TEST_F(Awq, NamesTheTensorThatDisagrees) {
  FakeTensors tensors = awq_vector();
  tensors["m.qzeros"] = i32_tensor({1, 2}, {0, 0});
  EXPECT_EQ(error(tensors, {8, 1}), "tensor 'm.qzeros': got i32 [1, 2], wanted i32 [1, 1]");
  tensors = awq_vector();
  tensors["m.scales"] = f16_tensor({0, 8}, {});
  EXPECT_EQ(error(tensors, {8, 1}),
            "tensor 'm.scales': got f16 [0, 8], wanted a float [n, 8] with n a divisor of 1");
  expect({.method = QuantMethod::awq, .bits = 4, .group = 128});
  FakeTensors wide = {{"m.qweight", i32_tensor({256, 1}, std::vector<std::uint32_t>(256, 0))},
                      {"m.qzeros", i32_tensor({4, 1}, std::vector<std::uint32_t>(4, 0))},
                      {"m.scales", f16_tensor({4, 8}, std::vector<float>(32, 1))}};
  EXPECT_EQ(error(wide, {8, 256}),
            "module 'm': the configuration says group_size 128, its tensors 64");
}

TEST_F(Awq, DecodesRandomLayersAsTheLayoutSays) {
  const auto seed = std::random_device()();
  RecordProperty("seed", static_cast<int>(seed));
  std::mt19937 random(seed);
  constexpr unsigned kOrder[] = {0, 2, 4, 6, 1, 3, 5, 7};
  for (const auto& [in, out, group] :
       {std::tuple(32, 8, 32), {96, 24, 32}, {20, 40, 5}, {9, 8, 9}}) {
    const int groups = in / group;
    std::vector<int> q, z;
    std::vector<float> scales;
    for (int i = 0; i < in * out; ++i) q.push_back(static_cast<int>(random() % 16));
    for (int i = 0; i < groups * out; ++i) {
      z.push_back(static_cast<int>(random() % 16));
      scales.push_back(static_cast<float>(random() % 2000 + 1) * 0x1p-14F);
    }
    const auto pack = [&](const std::vector<int>& codes, int rows) {
      std::vector<std::uint32_t> words;
      for (int r = 0; r < rows; ++r) {
        for (int c = 0; c < out; c += 8) {
          std::uint32_t word = 0;
          for (unsigned i = 0; i < 8; ++i) {
            word |=
                static_cast<std::uint32_t>(codes[static_cast<std::size_t>(r * out + c) + kOrder[i]])
                << (4 * i);
          }
          words.push_back(word);
        }
      }
      return words;
    };
    const FakeTensors tensors = {{"m.qweight", i32_tensor({in, out / 8}, pack(q, in))},
                                 {"m.qzeros", i32_tensor({groups, out / 8}, pack(z, groups))},
                                 {"m.scales", f16_tensor({groups, out}, scales)}};
    const std::vector<float> got = values(tensors, {out, in});
    ASSERT_EQ(got.size(), q.size());
    for (int n = 0; n < out; ++n) {
      for (int k = 0; k < in; ++k) {
        const auto at = static_cast<std::size_t>(k / group * out + n);
        const float scale = kernels::f16_to_f32(kernels::f32_to_f16(scales[at]));
        const auto difference =
            static_cast<float>(q[static_cast<std::size_t>(k * out + n)] - z[at]);
        EXPECT_EQ(got[static_cast<std::size_t>(n * in + k)],
                  kernels::f16_to_f32(kernels::f32_to_f16(difference * scale)))
            << "seed " << seed << ", output " << n << ", input " << k;
      }
    }
  }
}

// Eight outputs, eight inputs, every output with the codes 11,0,15,8,7,13,4,10.
FakeTensors gptq_layer(const std::vector<std::uint32_t>& zeros, float scale) {
  return {{"m.qweight", i32_tensor({1, 8}, std::vector<std::uint32_t>(8, 0xA4D78F0B))},
          {"m.qzeros", i32_tensor({1, 1}, zeros)},
          {"m.scales", f16_tensor({1, 8}, std::vector<float>(8, scale))}};
}

ModuleScheme gptq(bool symmetric, bool less_one) {
  return {
      .method = QuantMethod::gptq, .bits = 4, .symmetric = symmetric, .zeros_less_one = less_one};
}

TEST_F(Gptq, ReadsTheSymmetricVector) {
  for (const std::uint32_t zeros : {0x77777777U, 0x88888888U}) {
    expect(gptq(true, true));
    const std::vector<float> got = values(gptq_layer({zeros}, 0.5F), {8, 8});
    const std::vector<float> want = {1.5F, -4, 3.5F, 0, -0.5F, 2.5F, -2, 1};
    for (std::size_t n = 0; n < 8; ++n) {
      EXPECT_EQ(std::vector<float>(got.begin() + static_cast<std::ptrdiff_t>(8 * n),
                                   got.begin() + static_cast<std::ptrdiff_t>(8 * n + 8)),
                want);
    }
    EXPECT_TRUE(notes_.empty());
  }
  EXPECT_EQ(label(gptq_layer({0x77777777}, 1), {8, 8}), "int4 channel (GPTQ)");
}

TEST_F(Gptq, NotesZerosThatContradictSymmetry) {
  expect(gptq(true, true));
  EXPECT_EQ(values(gptq_layer({0x12345678}, 1), {8, 8})[0], 3);
  EXPECT_THAT(notes_,
              testing::ElementsAre("tensor 'm.qzeros' is not the middle of the range, and the "
                                   "configuration says the weights are symmetric: the middle is "
                                   "taken"));
}

// The true zeros of the outputs, read off the first input, whose code is 11.
std::vector<float> zeros_of(const std::vector<float>& values) {
  std::vector<float> zeros;
  for (std::size_t n = 0; n < 8; ++n) zeros.push_back(11 - values[8 * n]);
  return zeros;
}

TEST_F(Gptq, AddsOneToWholeWordsOfVersionOne) {
  struct Row {
    std::vector<float> zeros;
    std::uint32_t v2, v1;
  };
  for (const Row& row : {Row{{8, 7, 9, 1, 15, 5, 6, 10}, 0xA65F1978, 0x954E0867},
                         Row{{8, 0, 9, 15, 0, 5, 6, 10}, 0xA650F908, 0x953FE7F7},
                         Row{{8, 8, 8, 8, 8, 8, 8, 8}, 0x88888888, 0x77777777}}) {
    expect(gptq(false, false));
    EXPECT_EQ(zeros_of(values(gptq_layer({row.v2}, 1), {8, 8})), row.zeros);
    EXPECT_TRUE(notes_.empty());
    expect(gptq(false, true));
    EXPECT_EQ(zeros_of(values(gptq_layer({row.v1}, 1), {8, 8})), row.zeros);
    EXPECT_EQ(notes_.size(), row.zeros[1] == 0 ? 1U : 0U);
  }
}

TEST_F(Gptq, AddsOneWhereTheConfigurationQuantizesNothing) {
  configure(R"({"quant_method": "gptq", "bits": 8, "group_size": 64, "sym": false,
                "dynamic": {"-:m": {}}})");
  EXPECT_EQ(zeros_of(values(gptq_layer({0x954E0867}, 1), {8, 8})),
            (std::vector<float>{8, 7, 9, 1, 15, 5, 6, 10}));
}

TEST_F(Gptq, GoesByTheTensorsWhereTheConfigurationDoesNotSayHowZerosAre) {
  configure(R"({"quant_method": "gptq"})");
  EXPECT_EQ(zeros_of(values(gptq_layer({0x954E0867}, 1), {8, 8})),
            (std::vector<float>{8, 7, 9, 1, 15, 5, 6, 10}));
  for (const std::uint32_t zeros : {0x77777777U, 0x88888888U}) {
    EXPECT_EQ(zeros_of(values(gptq_layer({zeros}, 1), {8, 8})), std::vector<float>(8, 8));
    EXPECT_EQ(label(gptq_layer({zeros}, 1), {8, 8}), "int4 channel (GPTQ)");
  }
}

TEST_F(Gptq, IsTakenForVersionOneWithoutAConfiguration) {
  EXPECT_EQ(zeros_of(values(gptq_layer({0x954E0867}, 1), {8, 8})),
            (std::vector<float>{8, 7, 9, 1, 15, 5, 6, 10}));
}

// 192 inputs in groups of 128 are 128 and 64, not twice 96.
TEST_F(Gptq, KeepsTheConfiguredGroupWhereTheLastIsShorter) {
  std::vector<float> scales(8, 1);
  scales.resize(16, 2);
  const FakeTensors tensors = {
      {"m.qweight", i32_tensor({24, 8}, std::vector<std::uint32_t>(24 * 8, 0x99999999))},
      {"m.qzeros", i32_tensor({2, 1}, {0x77777777, 0x77777777})},
      {"m.scales", f16_tensor({2, 8}, scales)}};
  expect({.method = QuantMethod::gptq, .bits = 4, .group = 128, .symmetric = true});
  const std::vector<float> got = values(tensors, {8, 192});
  ASSERT_EQ(got.size(), 8U * 192U);
  EXPECT_EQ(got[127], 1);
  EXPECT_EQ(got[128], 2);
  expect({.method = QuantMethod::gptq, .bits = 4, .group = 96, .symmetric = true});
  EXPECT_EQ(values(tensors, {8, 192})[96], 2);
}

TEST_F(Gptq, NamesTheZerosThatAreMissing) {
  FakeTensors tensors = gptq_layer({0}, 1);
  tensors.erase("m.qzeros");
  EXPECT_EQ(error(tensors, {8, 8}), "tensor 'm.qzeros' is missing");
}

TEST_F(Gptq, ReadsEightBits) {
  expect({.method = QuantMethod::gptq, .bits = 8, .symmetric = false, .zeros_less_one = true});
  const FakeTensors tensors = {
      {"m.qweight", i32_tensor({1, 4}, std::vector<std::uint32_t>(4, 0xFF807F00))},
      {"m.qzeros", i32_tensor({1, 1}, {0x7F7F7F7F})},
      {"m.scales", f16_tensor({1, 4}, {1, 1, 1, 1})}};
  const std::vector<float> got = values(tensors, {4, 4});
  EXPECT_EQ(std::vector<float>(got.begin(), got.begin() + 4),
            (std::vector<float>{-128, -1, 0, 127}));
  EXPECT_EQ(label(tensors, {4, 4}), "int8 asym channel (GPTQ)");
}

TEST_F(Gptq, DecodesRandomLayersInActivationOrder) {
  const auto seed = std::random_device()();
  std::mt19937 random(seed);
  for (const auto& [in, out, group] :
       {std::tuple(32, 8, 8), {96, 24, 32}, {40, 16, 5}, {64, 8, 64}, {152, 264, 8}}) {
    const int groups = in / group;
    std::vector<std::uint32_t> g_idx;
    for (int k = 0; k < in; ++k) g_idx.push_back(static_cast<std::uint32_t>(k / group));
    std::shuffle(g_idx.begin(), g_idx.end(), random);
    std::vector<std::uint32_t> weight, zeros;
    std::vector<float> scales;
    for (int i = 0; i < in * out / 8; ++i) weight.push_back(static_cast<std::uint32_t>(random()));
    for (int i = 0; i < groups * out / 8; ++i) {
      zeros.push_back(static_cast<std::uint32_t>(random()) & 0x77777777U);
    }
    for (int i = 0; i < groups * out; ++i) {
      scales.push_back(static_cast<float>(random() % 2000 + 1) * 0x1p-14F);
    }
    expect({.method = QuantMethod::gptq,
            .bits = 4,
            .group = group,
            .symmetric = false,
            .activation_order = true,
            .zeros_less_one = true});
    const std::vector<float> got = values({{"m.qweight", i32_tensor({in / 8, out}, weight)},
                                           {"m.qzeros", i32_tensor({groups, out / 8}, zeros)},
                                           {"m.scales", f16_tensor({groups, out}, scales)},
                                           {"m.g_idx", i32_tensor({in}, g_idx)}},
                                          {out, in});
    ASSERT_EQ(got.size(), static_cast<std::size_t>(in * out));
    for (int n = 0; n < out; ++n) {
      for (int k = 0; k < in; ++k) {
        const auto g = static_cast<int>(g_idx[static_cast<std::size_t>(k)]);
        const auto q = static_cast<int>(
            weight[static_cast<std::size_t>(k / 8 * out + n)] >> (4 * (k % 8)) & 15U);
        const auto z = static_cast<int>(
            (zeros[static_cast<std::size_t>((g * out + n) / 8)] >> (4 * (n % 8)) & 15U) + 1);
        const float scale =
            kernels::f16_to_f32(kernels::f32_to_f16(scales[static_cast<std::size_t>(g * out + n)]));
        EXPECT_EQ(got[static_cast<std::size_t>(n * in + k)],
                  kernels::f16_to_f32(kernels::f32_to_f16(static_cast<float>(q - z) * scale)))
            << "seed " << seed << ", output " << n << ", input " << k;
      }
    }
  }
}

TEST_F(Gptq, NamesTheTensorThatDisagrees) {
  FakeTensors tensors = gptq_layer({0}, 1);
  tensors["m.scales"] = f16_tensor({2, 8}, std::vector<float>(16, 1));
  EXPECT_EQ(error(tensors, {8, 8}), "tensor 'm.scales': got f16 [2, 8], wanted a float [1, 8]");
  tensors = gptq_layer({0}, 1);
  tensors["m.qzeros"] = i32_tensor({1, 3}, {0, 0, 0});
  EXPECT_EQ(error(tensors, {8, 8}),
            "tensor 'm.qzeros': got i32 [1, 3], wanted i32 [n, 1] for 4-bit or [n, 2] for 8-bit "
            "weights of 8 outputs, the ones that are read");
  tensors = gptq_layer({0}, 1);
  tensors["m.g_idx"] = i32_tensor({4}, {0, 0, 0, 0});
  EXPECT_EQ(error(tensors, {8, 8}), "tensor 'm.g_idx': got i32 [4], wanted i32 [8]");
}

}  // namespace
}  // namespace glm::runner
