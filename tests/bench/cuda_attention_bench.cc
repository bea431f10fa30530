// Attention operations: microseconds, bytes or operations by formula, and the part of what this
// device can do at best (reading memory, or mma.sync), measured in this process. An argument leaves
// the operations whose names contain it.
#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "tests/bench/device_ceilings.h"
#include "tests/kernels/cuda_attention_cases.h"

namespace glm::kernels {
namespace {

using namespace cases;  // NOLINT: they belong to this program

// Random numbers; a block of them over and over where there are many.
DeviceArray<std::uint16_t> random_array(std::int64_t count) {
  static std::mt19937 engine{7};  // NOLINT: the same numbers every time
  static const Bits block = random_bits(engine, 1 << 20U);
  DeviceArray<std::uint16_t> array(static_cast<std::size_t>(count));
  for (std::int64_t at = 0; at < count; at += static_cast<std::int64_t>(block.size())) {
    const auto part = std::min<std::size_t>(block.size(), static_cast<std::size_t>(count - at));
    cuda_ok(cudaMemcpy(array.data() + at, block.data(), part * 2, cudaMemcpyHostToDevice), "fill");
  }
  return array;
}

// Records of random rows, likewise.
DeviceArray<std::uint8_t> random_records(const LatentRecord& layout, std::int64_t count) {
  constexpr std::int64_t kBlock = 1024;
  static std::mt19937 engine{7};  // NOLINT: the same numbers every time
  std::vector<std::uint8_t> block(static_cast<std::size_t>(kBlock * layout.size_bytes()));
  for (std::int64_t row = 0; row < kBlock; ++row) {
    std::vector<float> values;
    for (const std::uint16_t bits : random_bits(engine, layout.latent + layout.rope)) {
      values.push_back(bf16_to_f32(bits));
    }
    encode(layout, values.data(), block.data() + row * layout.size_bytes());
  }
  DeviceArray<std::uint8_t> array(static_cast<std::size_t>(count * layout.size_bytes()));
  for (std::int64_t at = 0; at < count; at += kBlock) {
    const std::int64_t rows = std::min(kBlock, count - at);
    cuda_ok(
        cudaMemcpy(array.data() + at * layout.size_bytes(), block.data(),
                   static_cast<std::size_t>(rows * layout.size_bytes()), cudaMemcpyHostToDevice),
        "fill");
  }
  return array;
}

struct Row {
  std::string op;
  std::string shape;
  double bytes = 0;
  double flops = 0;
};

class Table {
 public:
  explicit Table(std::string_view filter)
      : filter_(filter),
        read_(bench::measured_read_bytes_per_s()),
        mma_(bench::measured_mma_flops_per_s()) {
    std::printf("read ceiling %.0f GB/s, mma.sync ceiling %.0f TFLOP/s\n", read_ * 1e-9,
                mma_ * 1e-12);
    std::printf("%-30s %-30s %10s %9s %9s %7s\n", "operation", "shape", "us", "GB/s", "TFLOP/s",
                "% peak");
  }
  bool wants(std::string_view op) const { return op.find(filter_) != std::string_view::npos; }
  // % of the ceiling that is nearer.
  void add(const Row& row, const std::function<cudaError_t()>& launch) {
    print(row, timer_.median(15, [&] { cuda_ok(launch(), row.op.c_str()); }));
  }
  void print(const Row& row, double seconds) const {
    const double bytes = row.bytes / seconds;
    const double flops = row.flops / seconds;
    std::printf("%-30s %-30s %10.1f %9.0f %9.1f %6.1f%%\n", row.op.c_str(), row.shape.c_str(),
                seconds * 1e6, bytes * 1e-9, flops * 1e-12,
                100 * std::max(bytes / read_, flops / mma_));
    (void)std::fflush(stdout);
  }

 private:
  std::string_view filter_;
  double read_;
  double mma_;
  bench::Timer timer_;
};

std::string name(const std::string& op, std::string_view variant) {
  return variant.empty() ? op : op + " " + std::string(variant);
}

struct Shape {
  int sequences;
  int context;            // the last token's position + 1
  int tokens;             // of each sequence
  int positions_max = 0;  // what a graph was made for; 0: context
};

// A cache of so many sequences without host copies of its pages.
struct Rows {
  Rows(const Shape& s, std::int64_t width)
      : pages_of(static_cast<int>((s.context + kPageTokens - 1) / kPageTokens)),
        memory(
            random_array(static_cast<std::int64_t>(s.sequences) * pages_of * kPageTokens * width)) {
    std::vector<std::int32_t> order(static_cast<std::size_t>(s.sequences * pages_of));
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<std::int32_t>(i);
    std::shuffle(order.begin(), order.end(), std::mt19937{3});
    std::vector<std::int32_t> sequence;
    std::vector<std::int32_t> position;
    for (int i = 0; i < s.sequences; ++i) {
      for (int t = 0; t < s.tokens; ++t) {
        sequence.push_back(i);
        position.push_back(s.context - s.tokens + t);
      }
    }
    ints.emplace_back(order);
    ints.emplace_back(sequence);
    ints.emplace_back(position);
    const auto tokens_all = static_cast<std::int64_t>(sequence.size());
    rows = {.pages = {memory.data(),
                      Dtype::bf16,
                      {static_cast<std::int64_t>(order.size()), kPageTokens, width}},
            .table = {ints[0].data(), Dtype::i32, {s.sequences, pages_of}}};
    tokens = {.sequence = {ints[1].data(), Dtype::i32, {tokens_all}},
              .position = {ints[2].data(), Dtype::i32, {tokens_all}},
              .positions_max = s.positions_max == 0 ? s.context : s.positions_max};
  }
  int pages_of;
  DeviceArray<std::uint16_t> memory;
  std::vector<DeviceArray<std::int32_t>> ints;
  PagedRows rows;
  StepTokens tokens;
};

std::string text(const Shape& s) {
  return std::to_string(s.sequences) + " x " + std::to_string(s.tokens) + " tokens at " +
         std::to_string(s.context) +
         (s.positions_max == 0 ? "" : " of " + std::to_string(s.positions_max));
}

// Visible (token, position) pairs of one sequence.
double pairs(const Shape& s) {
  return static_cast<double>(s.tokens) * (s.context - s.tokens + (s.tokens + 1) / 2.0);
}

// The same places in fp8, with rows of their own.
struct Latents {
  static constexpr LatentRecord kLayout{.latent = 512, .rope = 64};
  explicit Latents(const Rows& plain)
      : memory(random_records(kLayout, plain.rows.pages.size(0) * kPageTokens)), rows(plain.rows) {
    rows.pages = {
        memory.data(), Dtype::u8, {rows.pages.size(0), kPageTokens, kLayout.size_bytes()}};
    rows.fp8_latent = kLayout.latent;
  }
  DeviceArray<std::uint8_t> memory;
  PagedRows rows;
};

void mla_absorbed(Table& table, const cuda::AttentionWorkspace& workspace, const Shape& s,
                  std::string_view variant, KvFormat format = KvFormat::plain) {
  const bool fp8 = format == KvFormat::fp8_latent;
  const std::string op = name(fp8 ? "mla_absorbed fp8" : "mla_absorbed", variant);
  if (!table.wants(op)) return;
  constexpr std::int64_t kHeads = 20;
  Rows cache(s, 576);
  const Latents latents(cache);
  if (fp8) cache.rows = latents.rows;
  const std::int64_t tokens = static_cast<std::int64_t>(s.sequences) * s.tokens;
  const auto q = random_array(tokens * kHeads * 576);
  const auto out = random_array(tokens * kHeads * 512);
  const MlaAbsorbed a{.out = {out.data(), Dtype::bf16, {tokens, kHeads, 512}},
                      .q = {q.data(), Dtype::bf16, {tokens, kHeads, 576}},
                      .rows = cache.rows,
                      .tokens = cache.tokens,
                      .scale = 0.0625F};
  check(a);
  const double rows = static_cast<double>(s.sequences) * s.context;
  const double row_bytes = fp8 ? static_cast<double>(Latents::kLayout.size_bytes()) : 576 * 2;
  table.add({.op = op,
             .shape = text(s),
             .bytes = rows * row_bytes + static_cast<double>(tokens) * kHeads * 1088 * 2,
             .flops = s.sequences * pairs(s) * kHeads * 2 * 1088},
            [&] { return cuda::launch_mla_absorbed(a, workspace, nullptr, variant); });
}

// Layers with pages of their own in one graph, as in decoding: for each of them. Together they are
// larger than the second-level cache where the device has memory for that.
void mla_absorbed_graph(Table& table, const cuda::AttentionWorkspace& workspace, const Shape& s,
                        std::string_view variant, KvFormat format = KvFormat::plain) {
  const bool fp8 = format == KvFormat::fp8_latent;
  const std::string op = name(fp8 ? "mla_absorbed fp8, graph" : "mla_absorbed, graph", variant);
  if (!table.wants(op)) return;
  constexpr std::int64_t kHeads = 20;
  const double rows = static_cast<double>(s.sequences) * s.context;
  const double row_bytes = fp8 ? static_cast<double>(Latents::kLayout.size_bytes()) : 576 * 2;
  const auto layers =
      std::clamp<std::int64_t>(static_cast<std::int64_t>(2e8 / (rows * 1152)), 4, 96);
  struct Layer {
    Layer(const Shape& s, bool fp8)
        : cache(s, 576), latents(fp8 ? std::make_unique<Latents>(cache) : nullptr) {
      if (fp8) cache.rows = latents->rows;
    }
    Rows cache;
    std::unique_ptr<Latents> latents;
  };
  std::vector<std::unique_ptr<Layer>> all;
  for (std::int64_t i = 0; i < layers; ++i) all.push_back(std::make_unique<Layer>(s, fp8));
  const std::int64_t tokens = static_cast<std::int64_t>(s.sequences) * s.tokens;
  const auto q = random_array(tokens * kHeads * 576);
  const auto out = random_array(tokens * kHeads * 512);
  const bench::Graph graph([&](cudaStream_t stream) {
    for (const auto& layer : all) {
      const MlaAbsorbed a{.out = {out.data(), Dtype::bf16, {tokens, kHeads, 512}},
                          .q = {q.data(), Dtype::bf16, {tokens, kHeads, 576}},
                          .rows = layer->cache.rows,
                          .tokens = layer->cache.tokens,
                          .scale = 0.0625F};
      cuda_ok(cuda::launch_mla_absorbed(a, workspace, stream, variant), op.c_str());
    }
  });
  table.print({.op = op,
               .shape = text(s),
               .bytes = rows * row_bytes + static_cast<double>(tokens) * kHeads * 1088 * 2,
               .flops = s.sequences * pairs(s) * kHeads * 2 * 1088},
              graph.seconds(15) / static_cast<double>(layers));
}

void gqa(Table& table, const cuda::AttentionWorkspace& workspace, const Shape& s,
         std::string_view variant) {
  if (!table.wants(name("gqa_attention", variant))) return;
  constexpr std::int64_t kHeads = 96;
  constexpr std::int64_t kKvHeads = 8;
  Rows cache(s, kKvHeads * 256);
  const std::int64_t tokens = static_cast<std::int64_t>(s.sequences) * s.tokens;
  const auto q = random_array(tokens * kHeads * 128);
  const auto out = random_array(tokens * kHeads * 128);
  const GqaAttention a{.out = {out.data(), Dtype::bf16, {tokens, kHeads, 128}},
                       .q = {q.data(), Dtype::bf16, {tokens, kHeads, 128}},
                       .rows = cache.rows,
                       .tokens = cache.tokens,
                       .kv_heads = kKvHeads,
                       .scale = 0.088F};
  check(a);
  const double rows = static_cast<double>(s.sequences) * s.context;
  table.add({.op = name("gqa_attention", variant),
             .shape = text(s),
             .bytes = rows * kKvHeads * 256 * 2 + static_cast<double>(tokens) * kHeads * 256 * 2,
             .flops = s.sequences * pairs(s) * kHeads * 2 * 256},
            [&] { return cuda::launch_gqa_attention(a, workspace, nullptr, variant); });
}

void mla_expanded(Table& table, const cuda::AttentionWorkspace& workspace, const Shape& s,
                  std::string_view variant) {
  if (!table.wants(name("mla_expanded", variant))) return;
  constexpr std::int64_t kHeads = 20;
  const auto q = random_array(s.tokens * kHeads * 256);
  const auto kv = random_array(s.context * kHeads * 448);
  const auto rope = random_array(static_cast<std::int64_t>(s.context) * 64);
  const auto out = random_array(s.tokens * kHeads * 256);
  const ConstTensorView both(kv.data(), Dtype::bf16, {s.context, kHeads, 448});
  const MlaExpanded a{.out = {out.data(), Dtype::bf16, {s.tokens, kHeads, 256}},
                      .q = {q.data(), Dtype::bf16, {s.tokens, kHeads, 256}},
                      .k = both.slice(2, 0, 192),
                      .k_rope = {rope.data(), Dtype::bf16, {s.context, 64}},
                      .v = both.slice(2, 192, 256),
                      .scale = 0.0625F};
  check(a);
  table.add({.op = name("mla_expanded", variant),
             .shape = text(s),
             .bytes = (static_cast<double>(s.context) * (kHeads * 448 + 64) +
                       static_cast<double>(s.tokens) * kHeads * 512) *
                      2,
             .flops = pairs(s) * kHeads * 2 * 512},
            [&] { return cuda::launch_mla_expanded(a, workspace, nullptr, variant); });
}

void store_and_gather(Table& table, const Shape& s, const std::string& format,
                      const PagedRows& rows, const StepTokens& step, double row_bytes) {
  const std::int64_t tokens = step.position.size(0);
  const auto x = random_array(tokens * 576);
  table.add({.op = "store_rows" + format,
             .shape = text(s),
             .bytes = static_cast<double>(tokens) * (576 * 2 + row_bytes)},
            [&] {
              return cuda::launch_store_rows(
                  {.rows = rows, .tokens = step, .x = {x.data(), Dtype::bf16, {tokens, 576}}},
                  nullptr);
            });
  const auto gathered = random_array(static_cast<std::int64_t>(s.context) * 576);
  table.add({.op = "gather_rows" + format,
             .shape = text(s),
             .bytes = static_cast<double>(s.context) * (576 * 2 + row_bytes)},
            [&] {
              return cuda::launch_gather_rows(
                  {.out = {gathered.data(), Dtype::bf16, {s.context, 576}}, .rows = rows}, nullptr);
            });
}

void rows_and_rope(Table& table, const Shape& s) {
  if (!table.wants("rows and rope")) return;
  Rows cache(s, 576);
  const Latents latents(cache);
  const std::int64_t tokens = static_cast<std::int64_t>(s.sequences) * s.tokens;
  store_and_gather(table, s, "", cache.rows, cache.tokens, 576 * 2);
  store_and_gather(table, s, " fp8", latents.rows, cache.tokens,
                   static_cast<double>(Latents::kLayout.size_bytes()));
  const auto q = random_array(tokens * 20 * 64);
  std::vector<float> freq(32);
  for (std::size_t k = 0; k < freq.size(); ++k) {
    freq[k] = std::pow(1e6F, -static_cast<float>(k) / 32.0F);
  }
  const DeviceArray<float> inv_freq(freq);
  const TensorView heads(q.data(), Dtype::bf16, {tokens, 20, 64});
  table.add({.op = "rope",
             .shape = text(s) + ", 20 x 64",
             .bytes = static_cast<double>(tokens) * 20 * 64 * 2 * 2},
            [&] {
              return cuda::launch_rope({.out = heads,
                                        .x = heads,
                                        .positions = cache.tokens.position,
                                        .inv_freq = {inv_freq.data(), Dtype::f32, {32}}},
                                       nullptr);
            });
}

void run(std::string_view filter) {
  cudaDeviceProp properties = {};
  cuda_ok(cudaGetDeviceProperties(&properties, 0), "read properties");
  std::printf("%s, %d multiprocessors\n", properties.name, properties.multiProcessorCount);
  Workspace memory;
  const cuda::AttentionWorkspace& workspace = memory.workspace;
  Table table(filter);
  constexpr Shape kDecode[] = {{1, 512, 1},          {1, 1024, 1}, {1, 4096, 1},  {1, 65536, 1},
                               {4, 1024, 1},         {16, 640, 1}, {64, 640, 1},  {64, 4096, 1},
                               {1, 1024, 1, 131072}, {1, 1024, 4}, {1, 4096, 64}, {1, 4096, 256}};
  for (const Shape& s : kDecode) mla_absorbed(table, workspace, s, {});
  for (const Shape& s : kDecode) mla_absorbed(table, workspace, s, {}, KvFormat::fp8_latent);
  mla_absorbed(table, workspace, {1, 1024, 1}, "naive");
  constexpr Shape kSteps[] = {
      {1, 64, 1},         {1, 512, 1},        {1, 1024, 1}, {1, 1024, 1, 2048}, {1, 4096, 1},
      {1, 16384, 1},      {1, 65536, 1},      {4, 1024, 1}, {8, 1024, 1},       {16, 640, 1, 1024},
      {32, 640, 1, 1024}, {64, 640, 1, 1024}, {64, 4096, 1}};
  for (const Shape& s : kSteps) mla_absorbed_graph(table, workspace, s, {});
  for (const Shape& s : kSteps) mla_absorbed_graph(table, workspace, s, {}, KvFormat::fp8_latent);
  constexpr Shape kPrompts[] = {{1, 512, 512}, {1, 2048, 2048}, {1, 8192, 512}, {1, 8192, 8192}};
  for (const Shape& s : kPrompts) mla_expanded(table, workspace, s, {});
  mla_expanded(table, workspace, {1, 512, 512}, "naive");
  for (const Shape& s : kDecode) gqa(table, workspace, s, {});
  for (const Shape& s : kPrompts) gqa(table, workspace, s, {});
  for (const Shape& s : {Shape{1, 2048, 2048}, Shape{1, 8192, 8192}}) {
    mla_expanded(table, workspace, s, "mma_prefill");
    gqa(table, workspace, s, "mma_prefill");
  }
  gqa(table, workspace, {1, 1024, 1}, "naive");
  for (const int tokens : {4, 16, 64}) {
    gqa(table, workspace, {1, 4096, tokens}, "mma_decode");
    gqa(table, workspace, {1, 4096, tokens}, "mma_prefill");
  }
  for (const std::string_view variant : {"mma_decode", "mma_prefill"}) {
    gqa(table, workspace, {64, 640, 1}, variant);
  }
  rows_and_rope(table, {1, 2048, 1});
  rows_and_rope(table, {1, 2048, 2048});
}

}  // namespace
}  // namespace glm::kernels

int main(int argc, char** argv) {
  int devices = 0;
  if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
    std::printf("no GPU\n");
    return 0;
  }
  glm::kernels::run(argc > 1 ? argv[1] : "");
}
