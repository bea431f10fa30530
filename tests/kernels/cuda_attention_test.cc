// Every variant of the attention operations against float64 on the host, over ragged mixes of
// sequences. GLM_TEST_REDUCED leaves the shapes that slow checkers can bear.
#include "kernels/cuda/attention.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "tests/kernels/cuda_attention_cases.h"

namespace glm::kernels {
namespace {

using namespace cases;  // NOLINT: they belong to this test

constexpr double kErrorMax = 5e-3;

bool reduced() {
  return std::getenv("GLM_TEST_REDUCED") != nullptr;  // NOLINT: one thread so far
}

class CudaAttentionTest : public testing::Test {
 protected:
  void SetUp() override {
    int devices = 0;
    if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) GTEST_SKIP() << "no GPU";
    workspace_ = std::make_unique<Workspace>();
    engine_.seed(seed());
  }
  const cuda::AttentionWorkspace& workspace() const { return workspace_->workspace; }
  // This device, and one that has no more shared memory for a block than sm_86, sm_89 and sm_120.
  std::vector<cuda::AttentionWorkspace> devices() const {
    std::vector<cuda::AttentionWorkspace> both(2, workspace());
    both[1].shared_bytes_max = std::min<std::int64_t>(workspace().shared_bytes_max, 99 * 1024);
    return both;
  }
  // This device, and one with a single multiprocessor, where no blocks are few.
  std::vector<cuda::AttentionWorkspace> wide_and_narrow() const {
    std::vector<cuda::AttentionWorkspace> both(2, workspace());
    both[1].multiprocessors = 1;
    return both;
  }

  std::mt19937 engine_;
  std::unique_ptr<Workspace> workspace_;
};

// Mixes of sequences: lone tokens, prompts, and both; the numbers of tokens are no multiples of
// anything.
std::vector<std::vector<Stretch>> mixes(std::mt19937& engine) {
  const auto below = [&](int end) {
    return static_cast<int>(engine() % static_cast<unsigned>(end));
  };
  std::vector<std::vector<Stretch>> all = {
      {{0, 1}},
      {{below(700), 1}},
      {{63, 2}},
      {{0, 7}},
      {{64, 1}, {0, 1}, {127, 1}, {31, 1}, {below(300), 1}, {32, 1}, {below(2000), 1}},
      {{0, 31}},
  };
  if (reduced()) return all;
  all.push_back({{3000 + below(1000), 1}});
  all.push_back({{below(100), 33}});
  all.push_back({{5, 40}, {below(900), 1}, {0, 3}, {below(200), 20}});
  all.push_back({{below(500), 129}});
  std::vector<Stretch> batch;
  for (int i = 0; i < 64; ++i) batch.push_back({below(i % 16 == 0 ? 1500 : 200), 1});
  all.push_back(batch);
  return all;
}

std::vector<float> floats(const std::uint16_t* bits, std::int64_t count) {
  std::vector<float> values(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = bf16_to_f32(bits[i]);
  return values;
}

// One attention over pages, of either form.
struct Paged {
  const char* variant;
  std::int64_t heads;
  std::int64_t kv_heads;  // 0: absorbed
  std::int64_t dim;
  std::int64_t value_dim;
  float scale;
  float spread = 1;  // of the queries: how sharp the softmax is
  KvFormat format = KvFormat::plain;

  std::int64_t width() const { return kv_heads == 0 ? dim : kv_heads * (dim + value_dim); }
  std::int64_t latent() const { return format == KvFormat::plain ? 0 : value_dim; }
};

// Some variants need what sm_90 has.
bool has(const cuda::AttentionWorkspace& device, std::string_view variant) {
  const bool large = device.shared_bytes_max > 200 * 1024;
  if (variant == "cluster_decode") return large && device.latent_clusters[1] > 0;
  if (variant == "wgmma_prefill" || variant == "groups_decode")
    return large && device.compute_major == 9 && device.encode_tensor_map != nullptr;
  return true;
}

std::string describe(const Paged& p, const Cache& cache) {
  return std::string(p.variant) + " heads " + std::to_string(p.heads) + " kv " +
         std::to_string(p.kv_heads) + " dim " + std::to_string(p.dim) +
         (p.format == KvFormat::plain ? "" : " fp8") + " tokens " + std::to_string(cache.tokens()) +
         " positions_max " + std::to_string(cache.positions_max);
}

cudaError_t launch(const Paged& p, Cache& cache, const TensorView& out, const ConstTensorView& q,
                   const cuda::AttentionWorkspace& workspace, cudaStream_t stream) {
  if (p.kv_heads == 0) {
    const MlaAbsorbed a{
        .out = out, .q = q, .rows = cache.rows(), .tokens = cache.step(), .scale = p.scale};
    check(a);
    return cuda::launch_mla_absorbed(a, workspace, stream, p.variant);
  }
  const GqaAttention a{.out = out,
                       .q = q,
                       .rows = cache.rows(),
                       .tokens = cache.step(),
                       .kv_heads = p.kv_heads,
                       .scale = p.scale};
  check(a);
  return cuda::launch_gqa_attention(a, workspace, stream, p.variant);
}

// The result of poisoned memory; columns past a row's end, which belong to nobody, stay poisoned.
Bits run(const Paged& p, Cache& cache, const DeviceArray<std::uint16_t>& q,
         const cuda::AttentionWorkspace& workspace) {
  const std::int64_t gap = 8;
  const std::int64_t rows = cache.tokens() * p.heads;
  const DeviceArray<std::uint16_t> out(
      Bits(static_cast<std::size_t>(rows * (p.value_dim + gap)), kNan));
  const TensorView wide(out.data(), Dtype::bf16, {cache.tokens(), p.heads, p.value_dim + gap});
  EXPECT_EQ(launch(p, cache, wide.slice(2, 0, p.value_dim),
                   {q.data(), Dtype::bf16, {cache.tokens(), p.heads, p.dim}}, workspace, nullptr),
            cudaSuccess);
  const Bits got = out.get();
  Bits dense;
  for (std::int64_t r = 0; r < rows; ++r) {
    const auto row = got.begin() + r * (p.value_dim + gap);
    dense.insert(dense.end(), row, row + p.value_dim);
    EXPECT_TRUE(std::all_of(row + p.value_dim, row + p.value_dim + gap,
                            [](std::uint16_t b) { return b == kNan; }));
  }
  return dense;
}

std::vector<double> expected(const Paged& p, Cache& cache, const Bits& q) {
  std::vector<double> want(static_cast<std::size_t>(cache.tokens() * p.heads * p.value_dim));
  for_all(cache.tokens() * p.heads, [&](std::int64_t row) {
    const auto t = static_cast<std::size_t>(row / p.heads);
    const int s = cache.sequence[t];
    const std::int64_t kv_head = p.kv_heads == 0 ? 0 : row % p.heads / (p.heads / p.kv_heads);
    const std::int64_t value = p.kv_heads == 0 ? 0 : p.kv_heads * p.dim + kv_head * p.value_dim;
    const std::vector<double> out = reference(
        {.visible = cache.position[t] + 1,
         .value_dim = p.value_dim,
         .q = floats(q.data() + row * p.dim, p.dim),
         .key = [&](auto j) { return cache.row_of(s, static_cast<int>(j)) + kv_head * p.dim; },
         .key_dim = p.dim,
         .value = [&](auto j) { return cache.row_of(s, static_cast<int>(j)) + value; }},
        p.scale);
    std::copy(out.begin(), out.end(), want.begin() + row * p.value_dim);
  });
  return want;
}

const Paged kPaged[] = {
    {"naive", 1, 0, 576, 512, 0.0625F},
    {"naive", 3, 0, 7, 5, 0.4F},
    {"naive", 20, 0, 40, 33, 0.2F},
    {"naive", 4, 2, 9, 6, 0.3F},
    {"naive", 24, 2, 128, 128, 0.088F},
    {"mma_decode", 1, 0, 576, 512, 0.0625F},
    {"mma_decode", 3, 0, 576, 512, 0.0625F},
    {"mma_decode", 20, 0, 576, 512, 0.0625F, 4},
    {"mma_decode", 33, 0, 576, 512, 0.0625F},
    {"mma_decode", 1, 1, 128, 128, 0.088F},
    {"mma_decode", 6, 2, 128, 128, 0.088F},
    {"mma_decode", 24, 2, 128, 128, 0.088F, 4},
    {"mma_decode", 20, 1, 128, 128, 0.088F},
    {"mma_prefill", 1, 1, 128, 128, 0.088F},
    {"mma_prefill", 6, 2, 128, 128, 0.088F},
    {"mma_prefill", 24, 2, 128, 128, 0.088F, 4},
    {"mma_prefill", 20, 1, 128, 128, 0.088F},
    {"wgmma_prefill", 1, 1, 128, 128, 0.088F},
    {"wgmma_prefill", 6, 2, 128, 128, 0.088F},
    {"wgmma_prefill", 24, 2, 128, 128, 0.088F, 4},
    {"wgmma_prefill", 20, 1, 128, 128, 0.088F},
    {"", 24, 2, 128, 128, 0.088F},
    {"cluster_decode", 1, 0, 576, 512, 0.0625F},
    {"cluster_decode", 20, 0, 576, 512, 0.0625F, 4},
    {"cluster_decode", 33, 0, 576, 512, 0.0625F},
    {"cluster_decode", 1, 0, 576, 512, 0.0625F, 1, KvFormat::fp8_latent},
    {"cluster_decode", 20, 0, 576, 512, 0.0625F, 4, KvFormat::fp8_latent},
    {"cluster_decode", 33, 0, 576, 512, 0.0625F, 1, KvFormat::fp8_latent},
    {"groups_decode", 1, 0, 576, 512, 0.0625F},
    {"groups_decode", 20, 0, 576, 512, 0.0625F, 4},
    {"groups_decode", 33, 0, 576, 512, 0.0625F},
    {"", 20, 0, 576, 512, 0.0625F},
    {"naive", 3, 0, 7, 5, 0.4F, 1, KvFormat::fp8_latent},
    {"naive", 5, 0, 150, 131, 0.2F, 1, KvFormat::fp8_latent},
    {"naive", 20, 0, 576, 512, 0.0625F, 1, KvFormat::fp8_latent},
    {"mma_decode", 1, 0, 576, 512, 0.0625F, 1, KvFormat::fp8_latent},
    {"mma_decode", 20, 0, 576, 512, 0.0625F, 4, KvFormat::fp8_latent},
    {"mma_decode", 33, 0, 576, 512, 0.0625F, 1, KvFormat::fp8_latent},
    {"", 20, 0, 576, 512, 0.0625F, 1, KvFormat::fp8_latent},
};

TEST_F(CudaAttentionTest, OverPagesAgreesWithTheReference) {
  double worst = 0;
  for (const Paged& p : kPaged) {
    for (const std::vector<Stretch>& mix : mixes(engine_)) {
      Cache cache(engine_, mix, p.width(), p.latent());
      const Bits q = random_bits(engine_, cache.tokens() * p.heads * p.dim, p.spread);
      const DeviceArray<std::uint16_t> device_q(q);
      const std::vector<double> want = expected(p, cache, q);
      // The second bound is what a graph for any length has.
      for (const std::int64_t positions_max : {cache.positions_max, std::int64_t{40000}}) {
        cache.positions_max = positions_max;
        for (const cuda::AttentionWorkspace& device : devices()) {
          if (!has(device, p.variant)) continue;
          const double error = relative_error(run(p, cache, device_q, device), want);
          worst = std::max(worst, error);
          ASSERT_LE(error, kErrorMax) << describe(p, cache);
        }
      }
    }
  }
  (void)std::printf("largest relative error %.2e\n", worst);
}

TEST_F(CudaAttentionTest, ATokenDoesNotNoticeTheOthers) {
  // As many tokens, so as many splits, of other sequences; and alone where nothing is split.
  for (const Paged& p : kPaged) {
    const std::string_view variant = p.variant;
    if (variant.empty() || !has(workspace(), variant)) continue;
    const int lone = static_cast<int>(engine_() % 400);
    Cache cache(engine_, {{17, 1}, {lone, 1}, {900, 1}, {0, 1}}, p.width(), p.latent());
    const auto row = static_cast<std::size_t>(p.heads * p.dim);
    const auto result = static_cast<std::ptrdiff_t>(p.heads * p.value_dim);
    Bits q = random_bits(engine_, cache.tokens() * p.heads * p.dim);
    const DeviceArray<std::uint16_t> device_q(q);
    const Bits first = run(p, cache, device_q, workspace());

    Cache second_cache(engine_, {{500, 1}, {33, 1}, {lone, 1}, {900, 1}}, p.width(), p.latent());
    for (int j = 0; j <= lone; ++j) {
      second_cache.copy_row(2, j, cache, 1, j);
    }
    second_cache.upload();
    Bits second_q = random_bits(engine_, cache.tokens() * p.heads * p.dim);
    std::copy_n(q.begin() + static_cast<std::ptrdiff_t>(row), row,
                second_q.begin() + static_cast<std::ptrdiff_t>(2 * row));
    const DeviceArray<std::uint16_t> device_second_q(second_q);
    const Bits second = run(p, second_cache, device_second_q, workspace());
    EXPECT_TRUE(
        std::equal(first.begin() + result, first.begin() + 2 * result, second.begin() + 2 * result))
        << describe(p, cache);
  }
}

TEST_F(CudaAttentionTest, APromptInPiecesGivesTheSameBits) {
  for (const Paged& p : kPaged) {
    const std::string_view variant = p.variant;
    const bool splits =
        variant == "mma_decode" || variant == "cluster_decode" || variant == "groups_decode";
    if (p.kv_heads == 0 || splits || variant.empty() || !has(workspace(), variant)) continue;
    Cache whole(engine_, {{0, 150}}, p.width(), p.latent());
    const Bits q = random_bits(engine_, 150 * p.heads * p.dim);
    const DeviceArray<std::uint16_t> device_q(q);
    const Bits want = run(p, whole, device_q, workspace());
    // The last 37 tokens alone.
    const ConstTensorView tokens = whole.step().sequence;
    const ConstTensorView positions = whole.step().position;
    const DeviceArray<std::uint16_t> out(
        Bits(static_cast<std::size_t>(37 * p.heads * p.value_dim), kNan));
    const ConstTensorView all_q(device_q.data(), Dtype::bf16, {150, p.heads, p.dim});
    const GqaAttention a{.out = {out.data(), Dtype::bf16, {37, p.heads, p.value_dim}},
                         .q = all_q.slice(0, 113, 37),
                         .rows = whole.rows(),
                         .tokens = {.sequence = tokens.slice(0, 113, 37),
                                    .position = positions.slice(0, 113, 37),
                                    .positions_max = 150},
                         .kv_heads = p.kv_heads,
                         .scale = p.scale};
    ASSERT_EQ(cuda::launch_gqa_attention(a, workspace(), nullptr, p.variant), cudaSuccess);
    EXPECT_TRUE(std::equal(want.end() - 37 * p.heads * p.value_dim, want.end(), out.get().begin()))
        << describe(p, whole);
  }
}

TEST_F(CudaAttentionTest, AnExpandedPromptInPiecesGivesTheSameBits) {
  constexpr std::int64_t kTokens = 300;
  constexpr std::int64_t kLast = 61;
  constexpr std::int64_t kHeads = 3;
  const Bits q = random_bits(engine_, kTokens * kHeads * 256);
  const Bits kv = random_bits(engine_, kTokens * kHeads * 448);
  const Bits k_rope = random_bits(engine_, kTokens * 64);
  const DeviceArray<std::uint16_t> device_q(q);
  const DeviceArray<std::uint16_t> device_kv(kv);
  const DeviceArray<std::uint16_t> device_rope(k_rope);
  const ConstTensorView all_q(device_q.data(), Dtype::bf16, {kTokens, kHeads, 256});
  const ConstTensorView both(device_kv.data(), Dtype::bf16, {kTokens, kHeads, 448});
  for (const std::string_view variant : {"naive", "mma_prefill", "wgmma_prefill"}) {
    if (!has(workspace(), variant)) continue;
    const auto last = [&](std::int64_t tokens, const cuda::AttentionWorkspace& device) {
      const DeviceArray<std::uint16_t> out(
          Bits(static_cast<std::size_t>(tokens * kHeads * 256), kNan));
      EXPECT_EQ(
          cuda::launch_mla_expanded({.out = {out.data(), Dtype::bf16, {tokens, kHeads, 256}},
                                     .q = all_q.slice(0, kTokens - tokens, tokens),
                                     .k = both.slice(2, 0, 192),
                                     .k_rope = {device_rope.data(), Dtype::bf16, {kTokens, 64}},
                                     .v = both.slice(2, 192, 256),
                                     .scale = 0.0625F},
                                    device, nullptr, variant),
          cudaSuccess);
      Bits bits = out.get();
      bits.erase(bits.begin(), bits.end() - kLast * kHeads * 256);
      return bits;
    };
    for (const cuda::AttentionWorkspace& device : wide_and_narrow()) {
      EXPECT_EQ(last(kTokens, device), last(kLast, device)) << variant;
    }
  }
}

TEST_F(CudaAttentionTest, AGraphFollowsPositionsAndTables) {
  for (const Paged& p : kPaged) {
    const std::string_view variant = p.variant;
    if (variant.empty() || !has(workspace(), variant)) continue;
    Cache cache(engine_, {{600, 1}, {40, 1}, {1000, 1}}, p.width(), p.latent());
    const Bits q = random_bits(engine_, 3 * p.heads * p.dim);
    const DeviceArray<std::uint16_t> device_q(q);
    const DeviceArray<std::uint16_t> out(
        Bits(static_cast<std::size_t>(3 * p.heads * p.value_dim), kNan));
    cudaStream_t stream = nullptr;
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t exec = nullptr;
    cuda_ok(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "create stream");
    cuda_ok(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal), "capture");
    EXPECT_EQ(launch(p, cache, {out.data(), Dtype::bf16, {3, p.heads, p.value_dim}},
                     {device_q.data(), Dtype::bf16, {3, p.heads, p.dim}}, workspace(), stream),
              cudaSuccess);
    cuda_ok(cudaStreamEndCapture(stream, &graph), "end capture");
    cuda_ok(cudaGraphInstantiate(&exec, graph, 0), "instantiate");
    // The sequences trade places: the captured launch has only the addresses.
    std::swap(cache.sequence[0], cache.sequence[2]);
    cache.position = {990, 7, 600};
    cache.upload();
    cuda_ok(cudaGraphLaunch(exec, stream), "replay");
    EXPECT_LE(relative_error(out.get(), expected(p, cache, q)), kErrorMax) << describe(p, cache);
    (void)cudaGraphExecDestroy(exec);
    (void)cudaGraphDestroy(graph);
    (void)cudaStreamDestroy(stream);
  }
}

TEST_F(CudaAttentionTest, ExpandedAgreesWithTheReference) {
  struct Shape {
    const char* variant;
    std::int64_t heads, nope, rope, value_dim;
  };
  const Shape shapes[] = {{"naive", 3, 7, 4, 5},
                          {"naive", 20, 192, 64, 256},
                          {"mma_prefill", 1, 192, 64, 256},
                          {"mma_prefill", 3, 192, 64, 256},
                          {"mma_prefill", 20, 192, 64, 256},
                          {"wgmma_prefill", 1, 192, 64, 256},
                          {"wgmma_prefill", 3, 192, 64, 256},
                          {"wgmma_prefill", 20, 192, 64, 256},
                          {"", 3, 192, 64, 256}};
  double worst = 0;
  for (const Shape& s : shapes) {
    for (const std::int64_t tokens : {1, 2, 7, 31, 33, 64, 129}) {
      for (const std::int64_t before : {0, 1, 700}) {
        if (reduced() && (before > 1 || tokens == 64)) continue;
        const std::int64_t positions = before + tokens;
        // Rows of the shapes that models have: q and out wider than a head, k and v in one matrix.
        const std::int64_t kv = s.nope + s.value_dim;
        const Bits q = random_bits(engine_, tokens * s.heads * (s.nope + s.rope), 2);
        const Bits both = random_bits(engine_, positions * s.heads * kv);
        const Bits k_rope = random_bits(engine_, positions * s.rope);
        const DeviceArray<std::uint16_t> device_q(q);
        const DeviceArray<std::uint16_t> device_kv(both);
        const DeviceArray<std::uint16_t> device_rope(k_rope);
        DeviceArray<std::uint16_t> out(static_cast<std::size_t>(tokens * s.heads * s.value_dim));
        const ConstTensorView kv_view(device_kv.data(), Dtype::bf16, {positions, s.heads, kv});
        const MlaExpanded a{.out = {out.data(), Dtype::bf16, {tokens, s.heads, s.value_dim}},
                            .q = {device_q.data(), Dtype::bf16, {tokens, s.heads, s.nope + s.rope}},
                            .k = kv_view.slice(2, 0, s.nope),
                            .k_rope = {device_rope.data(), Dtype::bf16, {positions, s.rope}},
                            .v = kv_view.slice(2, s.nope, s.value_dim),
                            .scale = 0.0625F};
        check(a);
        std::vector<double> want(static_cast<std::size_t>(tokens * s.heads * s.value_dim));
        for_all(tokens * s.heads, [&](std::int64_t row) {
          const std::int64_t h = row % s.heads;
          const std::uint16_t* base = both.data() + h * kv;
          const std::int64_t stride = s.heads * kv;
          const std::vector<double> values =
              reference({.visible = before + row / s.heads + 1,
                         .value_dim = s.value_dim,
                         .q = floats(q.data() + row * (s.nope + s.rope), s.nope + s.rope),
                         .key = [&](auto j) { return base + j * stride; },
                         .key_tail = [&](auto j) { return k_rope.data() + j * s.rope; },
                         .key_dim = s.nope,
                         .value = [&](auto j) { return base + j * stride + s.nope; }},
                        a.scale);
          std::copy(values.begin(), values.end(), want.begin() + row * s.value_dim);
        });
        std::vector<cuda::AttentionWorkspace> all = devices();
        all.push_back(wide_and_narrow()[1]);
        for (const cuda::AttentionWorkspace& device : all) {
          if (!has(device, s.variant)) continue;
          out.set(Bits(want.size(), kNan));
          ASSERT_EQ(cuda::launch_mla_expanded(a, device, nullptr, s.variant), cudaSuccess);
          const double error = relative_error(out.get(), want);
          worst = std::max(worst, error);
          ASSERT_LE(error, kErrorMax) << s.variant << " heads " << s.heads << " tokens " << tokens
                                      << " positions " << positions;
        }
      }
    }
  }
  (void)std::printf("largest relative error %.2e\n", worst);
}

TEST_F(CudaAttentionTest, RefusesVariantsThatDoNotFit) {
  Cache cache(engine_, {{3, 1}}, 40);
  const DeviceArray<std::uint16_t> q(Bits(40));
  const DeviceArray<std::uint16_t> out(Bits(33));
  const Paged p{"mma_decode", 1, 0, 40, 33, 1.0F};
  EXPECT_EQ(launch(p, cache, {out.data(), Dtype::bf16, {1, 1, 33}},
                   {q.data(), Dtype::bf16, {1, 1, 40}}, workspace(), nullptr),
            cudaErrorNotSupported);
}

TEST_F(CudaAttentionTest, NoTokensAreNoWork) {
  Cache cache(engine_, {{3, 0}}, 576);
  const Paged p{"", 20, 0, 576, 512, 1.0F};
  EXPECT_EQ(launch(p, cache, {nullptr, Dtype::bf16, {0, 20, 512}},
                   {nullptr, Dtype::bf16, {0, 20, 576}}, workspace(), nullptr),
            cudaSuccess);
}

}  // namespace
}  // namespace glm::kernels
