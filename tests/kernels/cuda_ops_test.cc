// The operations of a GPU without matrices, against the CPU reference on the same numbers, bf16 as
// they are in memory.
#include <algorithm>
#include <cmath>
#include <limits>

#include "tests/kernels/cuda_fixture.h"
#include "tests/kernels/random_weight.h"

namespace glm::kernels {
namespace {

class CudaOpsTest : public CudaTest {
 protected:
  std::unique_ptr<Ops> cpu_ = make_cpu_ops(1);
};

constexpr std::int64_t kDims[] = {1, 2, 7, 31, 32, 33, 127, 128, 129, 2048, 5120};

TEST_F(CudaOpsTest, SelfTestPasses) {
  const Status status = self_test(0);
  EXPECT_TRUE(status.ok()) << status.error().message;
}

TEST_F(CudaOpsTest, RmsNormAgreesWithTheReference) {
  for (const std::int64_t dim : kDims) {
    for (const std::int64_t rows : {0, 1, 3}) {
      for (const bool fused : {false, true}) {
        const Bits x = random(rows * dim, 3);
        const Bits weight = random(dim, 2);
        const Bits before = random(rows * dim);
        void* residual = device(before);
        void* out = device(Bits(x.size()));
        const TensorView absent;
        gpu_->rms_norm({.out = {out, Dtype::bf16, {rows, dim}},
                        .x = {device(x), Dtype::bf16, {rows, dim}},
                        .weight = {device(weight), Dtype::bf16, {dim}},
                        .residual = fused ? TensorView(residual, Dtype::bf16, {rows, dim}) : absent,
                        .sum = fused ? TensorView(residual, Dtype::bf16, {rows, dim}) : absent,
                        .eps = 1e-5F});
        std::vector<float> sum = floats(x);
        if (fused) {
          const std::vector<float> old = floats(before);
          for (std::size_t i = 0; i < sum.size(); ++i) {
            sum[i] = bf16_to_f32(f32_to_bf16(sum[i] + old[i]));
          }
          EXPECT_EQ(floats(back<std::uint16_t>(residual, x.size())), sum);
        }
        const std::vector<float> w = floats(weight);
        std::vector<float> want(sum.size());
        cpu_->rms_norm({.out = view(std::span<float>(want), {rows, dim}),
                        .x = view(std::span<const float>(sum), {rows, dim}),
                        .weight = view(std::span<const float>(w), {dim}),
                        .eps = 1e-5F});
        const std::vector<float> got = floats(back<std::uint16_t>(out, x.size()));
        for (std::size_t i = 0; i < got.size(); ++i) {
          // Two roundings to bf16 against none.
          ASSERT_NEAR(got[i], want[i], std::abs(want[i]) * 0x1p-7F + 1e-6F) << "dim " << dim;
        }
      }
    }
  }
}

TEST_F(CudaOpsTest, EmbeddingDecodesRowsOfEveryFormat) {
  for (const FormatCase& format : all_formats()) {
    for (const std::int64_t dim : {1, 7, 33, 129, 256}) {
      const RandomWeight table(format, 11, dim, engine_);
      const std::vector<std::int32_t> ids = {10, 0, 3, 10};
      ExpertsView view = table.host();
      for (const WeightPart part : kAllWeightParts) {
        const void*& at = view.parts[static_cast<std::size_t>(part)];
        if (at != nullptr) at = device(table.part(part));
      }
      const std::int64_t width = dim + 3;
      const auto count = static_cast<std::size_t>(4 * width);
      void* out = poisoned(count * 2);
      gpu_->embedding({.out = TensorView(out, Dtype::bf16, {4, width}).slice(1, 0, dim),
                       .ids = {device(ids), Dtype::i32, {4}},
                       .table = view.expert(0)});
      const Floats want = table.decoded(0);
      const Bits got = back<std::uint16_t>(out, count);
      for (std::int64_t t = 0; t < 4; ++t) {
        for (std::int64_t c = 0; c < width; ++c) {
          const std::uint16_t bits = got[static_cast<std::size_t>(t * width + c)];
          const auto at = static_cast<std::size_t>(ids[static_cast<std::size_t>(t)] * dim + c);
          ASSERT_EQ(bits, c < dim ? f32_to_bf16(want[at]) : 0xFFFF) << format.name << " " << dim;
        }
      }
      forget();
    }
  }
}

struct RouterCase {
  std::int64_t experts;
  std::int64_t chosen;
  std::int64_t groups = 1;
  std::int64_t groups_kept = 1;
};

class CudaRouterTest : public CudaOpsTest {
 protected:
  // Many are equal, and so are sigmoids of equal logits, whoever computes them. Of groups, scores
  // are added, and sums that are equal on paper may not be where scores are rounded: those of every
  // other token are exact, the others' all different.
  float logit(const RouterCase& c, std::int64_t token) {
    if (c.groups == 1) return std::round(unit() * 12) / 4;
    return token % 2 == 0 ? std::round(unit() * 1.5F) * 1e30F : unit() * 3;
  }
};

TEST_F(CudaRouterTest, ChoosesAsTheReferenceAmongTiesAndNaNs) {
  const RouterCase cases[] = {{1, 1},         {2, 2},        {7, 3},        {33, 8},
                              {64, 4},        {160, 8},      {64, 4, 8, 3}, {8, 2, 8, 2},
                              {256, 8, 8, 4}, {30, 5, 3, 1}, {128, 8, 4, 4}};
  for (const RouterCase& c : cases) {
    for (const bool biased : {false, true}) {
      for (const RouterWeights weighting : {RouterWeights::normalized, RouterWeights::as_scored}) {
        const std::int64_t tokens = 37;
        Floats logits;
        for (std::int64_t i = 0; i < tokens * c.experts; ++i) {
          logits.push_back(logit(c, i / c.experts));
          if (engine_() % 16 == 0) logits.back() = std::numeric_limits<float>::quiet_NaN();
          if (engine_() % 16 == 0) logits.back() = unit() * 1e30F;
        }
        std::fill_n(logits.begin(), c.experts, std::numeric_limits<float>::quiet_NaN());
        Floats bias;
        for (std::int64_t i = 0; i < c.experts; ++i) bias.push_back(std::round(unit() * 4) / 4);
        const auto count = static_cast<std::size_t>(tokens * c.chosen);
        std::vector<std::int32_t> ids(count);
        Floats weights(count);
        const ConstTensorView absent;
        RouterTopK args{.ids = view(std::span<std::int32_t>(ids), {tokens, c.chosen}),
                        .weights = view(std::span<float>(weights), {tokens, c.chosen}),
                        .logits = view(std::span<const float>(logits), {tokens, c.experts}),
                        .bias = biased ? view(std::span<const float>(bias), {c.experts}) : absent,
                        .groups = c.groups,
                        .groups_kept = c.groups_kept,
                        .weighting = weighting,
                        .scale = 1.8F};
        cpu_->router_topk(args);
        args.ids.data = poisoned(count * 4);
        args.weights.data = poisoned(count * 4);
        args.logits.data = device(logits);
        if (biased) args.bias.data = device(bias);
        gpu_->router_topk(args);
        ASSERT_EQ(back<std::int32_t>(args.ids.data, count), ids)
            << c.chosen << " of " << c.experts << " in " << c.groups_kept << " of " << c.groups;
        const Floats got = back<float>(args.weights.data, count);
        for (std::size_t i = 0; i < count; ++i) {
          ASSERT_NEAR(got[i], weights[i], 1e-5F * std::abs(weights[i]) + 1e-30F);
        }
        forget();
      }
    }
  }
}

TEST_F(CudaOpsTest, SmallUploadsKeepTheirOrderWithoutWaiting) {
  std::vector<std::int32_t> numbers(1000);
  const Buffer memory = std::move(gpu_->allocate(4000)).value();
  for (std::int32_t round = 0; round < 400; ++round) {  // more than the staging memory holds
    std::fill(numbers.begin(), numbers.end(), round);
    gpu_->upload(memory.data(), std::as_bytes(std::span<const std::int32_t>(numbers)));
  }
  std::fill(numbers.begin(), numbers.end(), -1);
  EXPECT_EQ(back<std::int32_t>(memory.data(), 1000), std::vector<std::int32_t>(1000, 399));
}

// Of any size and place, to pinned memory and other, and nothing beside.
TEST_F(CudaOpsTest, CopiesKeepToTheirBytes) {
  constexpr std::size_t kRoom = 80000;
  const auto pinned = std::move(gpu_->allocate_host(kRoom)).value();
  const auto memory = std::move(gpu_->allocate(kRoom)).value();
  const std::span source(static_cast<std::byte*>(pinned.data()), kRoom);
  auto* there = static_cast<std::byte*>(memory.data());
  for (const std::size_t first : {0, 4, 16, 3}) {
    for (const std::size_t size : {1, 4, 12, 16, 20, 1020, 16384, 16396, 65536, 65540, 79990}) {
      if (first + size > kRoom) continue;
      SCOPED_TRACE(testing::Message() << size << " bytes from " << first);
      const std::vector<std::byte> blank(kRoom, std::byte{0x5A});
      gpu_->upload(there, blank);
      for (std::byte& byte : source) byte = static_cast<std::byte>(engine_());
      gpu_->upload_in_place(there + first, source.subspan(first, size));
      std::vector<std::byte> want = blank;
      std::copy_n(source.begin() + static_cast<std::ptrdiff_t>(first), size,
                  want.begin() + static_cast<std::ptrdiff_t>(first));
      ASSERT_EQ(back<std::byte>(there, kRoom), want);
      // And to pinned memory.
      std::fill(source.begin(), source.end(), std::byte{0xA5});
      gpu_->download(source.subspan(first, size), there + first);
      ASSERT_TRUE(gpu_->sync().ok());
      std::vector<std::byte> fetched(kRoom, std::byte{0xA5});
      std::copy_n(want.begin() + static_cast<std::ptrdiff_t>(first), size,
                  fetched.begin() + static_cast<std::ptrdiff_t>(first));
      ASSERT_TRUE(std::equal(source.begin(), source.end(), fetched.begin()));
    }
  }
}

TEST_F(CudaOpsTest, ReadMemorySumsEveryWord) {
  for (const int count : {0, 4, 1020, 1024, 1028, (1 << 22) + 4}) {
    const auto words = static_cast<std::size_t>(count);
    std::vector<std::uint32_t> data(words);
    std::uint32_t sum = 0;
    for (std::uint32_t& word : data) {
      word = static_cast<std::uint32_t>(engine_());
      sum += word;
    }
    void* out = poisoned(sizeof(sum));
    gpu_->read_memory({.out = static_cast<std::uint32_t*>(out),
                       .data = words == 0 ? nullptr : device(data),
                       .size_bytes = 4 * words});
    EXPECT_EQ(back<std::uint32_t>(out, 1), std::vector<std::uint32_t>{sum}) << words;
    forget();
  }
}

TEST_F(CudaOpsTest, MultiplyCountsItsOperations) {
  void* out = poisoned(sizeof(std::uint64_t));
  gpu_->multiply({.out = static_cast<std::uint64_t*>(out)});
  const std::uint64_t count = back<std::uint64_t>(out, 1).front();
  EXPECT_GT(count, 1'000'000'000U);
  EXPECT_EQ(count % 4096U, 0U);
}

TEST_F(CudaOpsTest, SaysWhenMemoryIsShort) {
  const auto buffer = gpu_->allocate(1ULL << 50U);
  ASSERT_FALSE(buffer.ok());
  EXPECT_EQ(buffer.error().code, Errc::exhausted);
  EXPECT_TRUE(gpu_->sync().ok());
}

}  // namespace
}  // namespace glm::kernels
