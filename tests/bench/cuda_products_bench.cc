// Linear layers and experts of GLM-4.7-Flash: microseconds, bytes or operations by formula, and the
// part of what this device can do at best, measured in this process. An argument leaves the rows
// whose names contain it.
#include <array>
#include <cstdio>
#include <set>
#include <string>
#include <string_view>

#include "kernels/cuda/launch.h"
#include "kernels/cuda/workspace.h"
#include "tests/bench/device_ceilings.h"
#include "tests/kernels/cuda_attention_cases.h"

namespace glm::kernels {
namespace {

using namespace cases;  // NOLINT: they belong to this program

using Memory = DeviceArray<std::uint16_t>;

// bf16 numbers of about one, a block of them over and over; as bytes they do for int4 as well.
Memory random_memory(std::int64_t bytes) {
  static std::mt19937 engine{7};  // NOLINT: the same numbers every time
  static const Bits block = random_bits(engine, 1 << 20U);
  const std::int64_t count = (bytes + 1) / 2;
  Memory memory(static_cast<std::size_t>(count));
  for (std::int64_t at = 0; at < count; at += static_cast<std::int64_t>(block.size())) {
    const auto part = std::min<std::size_t>(block.size(), static_cast<std::size_t>(count - at));
    cuda_ok(cudaMemcpy(memory.data() + at, block.data(), part * 2, cudaMemcpyHostToDevice), "fill");
  }
  return memory;
}

WeightLayout layout_of(std::string_view format, std::int64_t rows, std::int64_t cols) {
  if (format == "bf16") return {.format = WeightFormat::bf16, .rows = rows, .cols = cols};
  if (format == "int4") {
    return {.format = WeightFormat::int4_group, .rows = rows, .cols = cols, .group = 32};
  }
  return {.format = WeightFormat::fp8,
          .rows = rows,
          .cols = cols,
          .group = 128,
          .scale_dtype = Dtype::bf16,
          .row_block = 128};
}

class BenchWeight {
 public:
  BenchWeight(std::string_view format, std::int64_t rows, std::int64_t cols, std::int64_t experts)
      : layout_(layout_of(format, rows, cols)),
        experts_(experts),
        data_(random_memory(layout_.bytes(WeightPart::data) * experts)),
        scales_(random_memory(layout_.bytes(WeightPart::scales) * experts + 2)) {}

  ExpertsView view() const {
    return {.layout = layout_,
            .experts = experts_,
            .parts = {data_.data(), layout_.quantized() ? scales_.data() : nullptr, nullptr,
                      nullptr, nullptr}};
  }
  double bytes_of_one() const { return static_cast<double>(layout_.total_bytes()); }

 private:
  WeightLayout layout_;
  std::int64_t experts_;
  Memory data_;
  Memory scales_;
};

class Table {
 public:
  explicit Table(std::string_view filter)
      : filter_(filter),
        read_(bench::measured_read_bytes_per_s()),
        mma_(bench::measured_mma_flops_per_s()) {
    std::printf("read ceiling %.0f GB/s, mma.sync ceiling %.0f TFLOP/s\n", read_ * 1e-9,
                mma_ * 1e-12);
    std::printf("%-26s %8s %7s %10s %9s %9s %8s\n", "operation", "variant", "tokens", "us", "GB/s",
                "TFLOP/s", "% read");
  }
  void linear(std::string_view format, std::int64_t inputs, std::int64_t outputs,
              std::int64_t tokens, std::string_view variant);
  void moe(std::string_view format, std::int64_t tokens, std::string_view variant);
  // Both halves of kv_b, as the absorbed form reads them.
  enum class Half { w_uk, w_uv, w_uk_turned_at_load };
  void heads(std::string_view format, Half half, std::int64_t tokens);

 private:
  template <typename Launch>
  void row(const std::string& name, std::string_view variant, std::int64_t tokens, double bytes,
           double flops, const Launch& launch) {
    const double seconds = timer_.median(11, [&] { cuda_ok(launch(), name.c_str()); });
    std::printf("%-26s %8s %7lld %10.1f %9.0f %9.1f %7.1f%%\n", name.c_str(),
                std::string(variant).c_str(), static_cast<long long>(tokens), seconds * 1e6,
                bytes / seconds * 1e-9, flops / seconds * 1e-12, 100 * bytes / seconds / read_);
    (void)std::fflush(stdout);
  }

  std::string filter_;
  double read_;
  double mma_;
  bench::Timer timer_;
};

void Table::linear(std::string_view format, std::int64_t inputs, std::int64_t outputs,
                   std::int64_t tokens, std::string_view variant) {
  const std::string name = fmt::format("linear {} {}->{}", format, inputs, outputs);
  if (name.find(filter_) == std::string::npos) return;
  const BenchWeight weight(format, outputs, inputs, 1);
  const Memory x = random_memory(tokens * inputs * 2);
  const Memory out(static_cast<std::size_t>(tokens * outputs));
  const Linear args{.out = {const_cast<std::uint16_t*>(out.data()), Dtype::bf16, {tokens, outputs}},
                    .x = {x.data(), Dtype::bf16, {tokens, inputs}},
                    .weight = weight.view().expert(0)};
  const auto many = static_cast<double>(tokens);
  const double bytes = weight.bytes_of_one() + 2 * many * static_cast<double>(inputs + outputs);
  const double flops = 2 * many * static_cast<double>(inputs) * static_cast<double>(outputs);
  row(name, variant, tokens, bytes, flops,
      [&] { return cuda::launch_linear(args, variant, nullptr); });
}

void Table::heads(std::string_view format, Half half, std::int64_t tokens) {
  constexpr std::int64_t kHeads = 20;
  constexpr std::int64_t kNope = 192;
  constexpr std::int64_t kValue = 256;
  constexpr std::int64_t kRank = 512;
  constexpr std::array<std::string_view, 3> kNames = {"W_UK transposed", "W_UV", "W_UK turned"};
  const std::string name = fmt::format("{} {}", kNames[static_cast<std::size_t>(half)], format);
  if (name.find(filter_) == std::string::npos) return;
  const bool turned = half == Half::w_uk_turned_at_load;
  const std::int64_t head_rows = turned ? kRank : kNope + kValue;
  const BenchWeight weight(format, kHeads * head_rows, turned ? kNope : kRank, 1);
  const std::int64_t inputs = half == Half::w_uv ? kRank : kNope;
  const std::int64_t outputs = half == Half::w_uv ? kValue : kRank;
  const Memory x = random_memory(tokens * kHeads * inputs * 2);
  const Memory out(static_cast<std::size_t>(tokens * kHeads * outputs));
  const HeadLinear args{
      .out = {const_cast<std::uint16_t*>(out.data()), Dtype::bf16, {tokens, kHeads, outputs}},
      .x = {x.data(), Dtype::bf16, {tokens, kHeads, inputs}},
      .weight = weight.view().expert(0),
      .head_rows = head_rows,
      .first_row = half == Half::w_uv ? kNope : 0,
      .order = half == Half::w_uk ? HeadOrder::transposed : HeadOrder::as_stored};
  const double part = static_cast<double>(args.rows()) / static_cast<double>(head_rows);
  const double bytes =
      weight.bytes_of_one() * part + 2 * static_cast<double>(tokens * kHeads * (inputs + outputs));
  const double flops = 2.0 * static_cast<double>(tokens * kHeads * inputs * outputs);
  row(name, "", tokens, bytes, flops, [&] { return cuda::launch_head_linear(args, "", nullptr); });
}

void Table::moe(std::string_view format, std::int64_t tokens, std::string_view variant) {
  constexpr std::int64_t kExperts = 64;
  constexpr std::int64_t kChosen = 4;
  constexpr std::int64_t kHidden = 2048;
  constexpr std::int64_t kInner = 1536;
  const std::string name = fmt::format("moe {} 4 of 64", format);
  if (name.find(filter_) == std::string::npos) return;
  const BenchWeight gate(format, kInner, kHidden, kExperts);
  const BenchWeight up(format, kInner, kHidden, kExperts);
  const BenchWeight down(format, kHidden, kInner, kExperts);
  std::mt19937 engine(static_cast<unsigned>(tokens));
  std::vector<std::int32_t> ids;
  std::vector<float> weights;
  for (std::int64_t t = 0; t < tokens; ++t) {
    std::set<std::int32_t> own;
    while (own.size() < kChosen) own.insert(static_cast<std::int32_t>(engine() % kExperts));
    ids.insert(ids.end(), own.begin(), own.end());
    weights.insert(weights.end(), kChosen, 0.25F);
  }
  const std::set<std::int32_t> touched(ids.begin(), ids.end());
  const DeviceArray<std::int32_t> ids_memory(ids);
  const DeviceArray<float> weights_memory(weights);
  const Memory x = random_memory(tokens * kHidden * 2);
  const Memory out(static_cast<std::size_t>(tokens * kHidden));
  const WorkspaceBounds bounds{
      .tokens = tokens, .chosen = kChosen, .experts = kExperts, .hidden = kHidden, .inner = kInner};
  void* space = nullptr;
  const std::uint64_t space_bytes = cuda::Workspace::size_bytes(bounds);
  cuda_ok(cudaMalloc(&space, space_bytes), "workspace");
  const cuda::Workspace workspace(
      bounds, Buffer(space, space_bytes, [](void* memory) { (void)cudaFree(memory); }));
  const MoeMlp args{.out = {const_cast<std::uint16_t*>(out.data()), Dtype::bf16, {tokens, kHidden}},
                    .x = {x.data(), Dtype::bf16, {tokens, kHidden}},
                    .ids = {ids_memory.data(), Dtype::i32, {tokens, kChosen}},
                    .weights = {weights_memory.data(), Dtype::f32, {tokens, kChosen}},
                    .gate = gate.view(),
                    .up = up.view(),
                    .down = down.view()};
  const double bytes = static_cast<double>(touched.size()) *
                           (gate.bytes_of_one() + up.bytes_of_one() + down.bytes_of_one()) +
                       4 * static_cast<double>(tokens * kHidden);
  const double flops = 6.0 * static_cast<double>(tokens * kChosen) * kHidden * kInner;
  row(name, variant, tokens, bytes, flops,
      [&] { return cuda::launch_moe_mlp(args, workspace.moe(), variant, nullptr); });
}

void run(std::string_view filter) {
  Table table(filter);
  for (const std::string_view format : {"int4", "bf16"}) {
    for (const auto [inputs, outputs] : std::array<std::array<std::int64_t, 2>, 4>{
             {{2048, 768}, {768, 5120}, {5120, 2048}, {2048, 10240}}}) {
      for (const std::int64_t tokens : {1, 8, 32, 64, 512}) {
        table.linear(format, inputs, outputs, tokens, "");
      }
    }
    table.linear(format, 5120, 2048, 1, "naive");
    table.linear(format, 5120, 2048, 64, "stream");
    table.linear(format, 5120, 2048, 32, "tiles");
    for (const std::int64_t tokens : {1, 8, 16, 32, 64, 128, 512}) table.moe(format, tokens, "");
    table.moe(format, 64, "tiles");
    table.moe(format, 128, "tiles");
    table.moe(format, 8, "naive");
  }
  for (const std::string_view format : {"int4", "bf16", "fp8"}) {
    using Half = Table::Half;
    for (const Half half : {Half::w_uk, Half::w_uv, Half::w_uk_turned_at_load}) {
      for (const std::int64_t tokens : {1, 8, 64, 512}) table.heads(format, half, tokens);
    }
    for (const std::int64_t tokens : {512, 4096}) table.linear(format, 512, 8960, tokens, "");
  }
  for (const std::int64_t tokens : {1, 8, 64}) table.linear("bf16", 2048, 154880, tokens, "");
  for (const std::int64_t tokens : {1, 64, 512}) {
    table.linear("fp8", 5120, 2048, tokens, "");
    table.moe("fp8", tokens, "");
  }
}

}  // namespace
}  // namespace glm::kernels

int main(int argc, char** argv) {
  glm::kernels::run(argc > 1 ? argv[1] : "");
  return 0;
}
