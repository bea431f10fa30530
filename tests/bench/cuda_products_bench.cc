// Linear layers and experts of GLM-4.7-Flash: microseconds, bytes or operations by formula, and the
// part of what this device can do at best, measured in this process. An argument leaves the rows
// whose names contain it.
#include <array>
#include <cstdio>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/cuda/bulk_plan.h"
#include "kernels/cuda/fork.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/moe_layer.h"
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

// The rows of prompts have the word in front.
WeightLayout layout_of(std::string_view format, std::int64_t rows, std::int64_t cols) {
  if (format.starts_with("prompt ")) format.remove_prefix(7);
  if (format == "bf16") return {.format = WeightFormat::bf16, .rows = rows, .cols = cols};
  if (format == "int4") {
    return {.format = WeightFormat::int4_group, .rows = rows, .cols = cols, .group = 32};
  }
  if (format.starts_with("int4 g128")) {
    return {.format = WeightFormat::int4_group,
            .rows = rows,
            .cols = cols,
            .group = 128,
            .zeros = format.ends_with(" zeros")};
  }
  if (format == "mxfp4") {
    return {.format = WeightFormat::mxfp4,
            .rows = rows,
            .cols = cols,
            .group = 32,
            .scale_dtype = Dtype::f8_e8m0};
  }
  if (format == "nvfp4") {
    return {.format = WeightFormat::nvfp4,
            .rows = rows,
            .cols = cols,
            .group = 16,
            .scale_dtype = Dtype::f8_e4m3,
            .global = GlobalScale::multiplies};
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
        scales_(random_memory(layout_.bytes(WeightPart::scales) * experts + 2)),
        zeros_(static_cast<std::size_t>(layout_.bytes(WeightPart::zeros) * experts)),
        global_(std::vector<float>(static_cast<std::size_t>(experts), 0.5F)) {}

  ExpertsView view() const {
    return {.layout = layout_,
            .experts = experts_,
            .parts = {data_.data(), layout_.quantized() ? scales_.data() : nullptr,
                      layout_.zeros ? zeros_.data() : nullptr, nullptr,
                      layout_.global == GlobalScale::none ? nullptr : global_.data()}};
  }
  double bytes_of_one() const { return static_cast<double>(layout_.total_bytes()); }

 private:
  WeightLayout layout_;
  std::int64_t experts_;
  Memory data_;
  Memory scales_;
  DeviceArray<std::uint8_t> zeros_;
  DeviceArray<float> global_;
};

// The routed experts of GLM-4.7-Flash.
constexpr std::int64_t kExperts = 64;
constexpr std::int64_t kChosen = 4;
constexpr std::int64_t kHidden = 2048;
constexpr std::int64_t kInner = 1536;

struct MoeWeights {
  explicit MoeWeights(std::string_view format)
      : gate(format, kInner, kHidden, kExperts),
        up(format, kInner, kHidden, kExperts),
        down(format, kHidden, kInner, kExperts),
        shared(format == "nvfp4" ? "nvfp4" : "bf16") {}
  BenchWeight gate;
  BenchWeight up;
  BenchWeight down;
  std::string_view shared;  // format of the shared expert, as who publishes such experts has it
};

using MoeLayers = std::vector<std::unique_ptr<MoeWeights>>;

// Which experts the tokens choose.
std::vector<std::int32_t> random_choice(std::int64_t tokens, unsigned seed) {
  std::mt19937 engine(seed);
  std::vector<std::int32_t> ids;
  for (std::int64_t t = 0; t < tokens; ++t) {
    std::set<std::int32_t> own;
    while (own.size() < kChosen) own.insert(static_cast<std::int32_t>(engine() % kExperts));
    ids.insert(ids.end(), own.begin(), own.end());
  }
  return ids;
}

cuda::Workspace workspace_for(std::int64_t tokens) {
  const WorkspaceBounds bounds{
      .tokens = tokens, .chosen = kChosen, .experts = kExperts, .hidden = kHidden, .inner = kInner};
  void* space = nullptr;
  const std::uint64_t space_bytes = cuda::Workspace::size_bytes(bounds);
  cuda_ok(cudaMalloc(&space, space_bytes), "workspace");
  cuda::Workspace workspace(
      bounds, Buffer(space, space_bytes, [](void* memory) { (void)cudaFree(memory); }));
  cuda_ok(workspace.clear(nullptr), "workspace");
  return workspace;
}

// One step of one layer.
class MoeStep {
 public:
  MoeStep(const MoeWeights& weights, std::int64_t tokens, unsigned seed)
      : weights_(weights),
        tokens_(tokens),
        ids_(random_choice(tokens, seed)),
        factors_(std::vector<float>(static_cast<std::size_t>(tokens * kChosen), 0.25F)),
        x_(random_memory(tokens * kHidden * 2)),
        out_(static_cast<std::size_t>(tokens * kHidden)),
        workspace_(workspace_for(tokens)) {}

  MoeMlp args() const {
    return {.out = {const_cast<std::uint16_t*>(out_.data()), Dtype::bf16, {tokens_, kHidden}},
            .x = {x_.data(), Dtype::bf16, {tokens_, kHidden}},
            .ids = {ids_.data(), Dtype::i32, {tokens_, kChosen}},
            .weights = {factors_.data(), Dtype::f32, {tokens_, kChosen}},
            .gate = weights_.gate.view(),
            .up = weights_.up.view(),
            .down = weights_.down.view()};
  }
  cudaError_t launch(const MoeMlp& args, std::string_view variant, cudaEvent_t shared_ready,
                     cudaStream_t stream) const {
    return cuda::launch_moe_mlp(args, workspace_.moe(), variant, shared_ready, stream);
  }
  cudaError_t launch(std::string_view variant, cudaStream_t stream) const {
    return launch(args(), variant, nullptr, stream);
  }
  cuda::MoeWorkspace workspace() const { return workspace_.moe(); }
  double bytes() const {
    const std::vector<std::int32_t> ids = ids_.get();
    const std::size_t touched = std::set<std::int32_t>(ids.begin(), ids.end()).size();
    return static_cast<double>(touched) *
               (weights_.gate.bytes_of_one() + weights_.up.bytes_of_one() +
                weights_.down.bytes_of_one()) +
           4 * static_cast<double>(tokens_ * kHidden);
  }
  double flops() const { return 6.0 * static_cast<double>(tokens_ * kChosen) * kHidden * kInner; }

 private:
  const MoeWeights& weights_;
  std::int64_t tokens_;
  DeviceArray<std::int32_t> ids_;
  DeviceArray<float> factors_;
  Memory x_;
  Memory out_;
  cuda::Workspace workspace_;
};

// Where the shared expert runs, beside the router.
struct Side {
  Side() : fork(std::move(cuda::Fork::make()).value()) {
    cuda_ok(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "stream");
  }
  cudaStream_t stream = nullptr;
  cuda::Fork fork;
};

// The whole feed-forward half of a layer: router, shared expert, routed experts.
class MoeLayer {
 public:
  MoeLayer(const MoeWeights& weights, std::int64_t tokens, unsigned seed)
      : step_(weights, tokens, seed),
        tokens_(tokens),
        router_(random_router(seed)),
        gate_(weights.shared, kInner, kHidden, 1),
        up_(weights.shared, kInner, kHidden, 1),
        down_(weights.shared, kHidden, kInner, 1),
        logits_(static_cast<std::size_t>(tokens * kExperts)),
        inner_(static_cast<std::size_t>(tokens * kInner)),
        shared_(static_cast<std::size_t>(tokens * kHidden)) {}

  void launch(std::string_view variant, cudaStream_t stream) const {
    MoeMlp moe = step_.args();
    const TensorView logits(logits_.data(), Dtype::f32, {tokens_, kExperts});
    const TensorView inner(inner_.data(), Dtype::bf16, {tokens_, kInner});
    const TensorView shared(shared_.data(), Dtype::bf16, {tokens_, kHidden});
    const auto ok = [](cudaError_t code) { cuda_ok(code, "moe layer"); };
    const TensorView ids(const_cast<void*>(moe.ids.data), Dtype::i32, {tokens_, kChosen});
    const TensorView weights(const_cast<void*>(moe.weights.data), Dtype::f32, {tokens_, kChosen});
    if (variant == "whole") {
      return ok(cuda::launch_moe_layer({.out = moe.out,
                                        .x = moe.x,
                                        .router = router(),
                                        .gate = moe.gate,
                                        .up = moe.up,
                                        .down = moe.down,
                                        .shared = {.gate = gate_.view().expert(0),
                                                   .up = up_.view().expert(0),
                                                   .down = down_.view().expert(0),
                                                   .inner = inner,
                                                   .out = shared},
                                        .logits = logits,
                                        .ids = ids,
                                        .weights = weights},
                                       step_.workspace(), {}, stream));
    }
    static Side side;
    ok(side.fork.begin(stream, side.stream));
    ok(cuda::launch_gated_linear(
        {.out = inner, .x = moe.x, .gate = gate_.view().expert(0), .up = up_.view().expert(0)}, "",
        side.stream));
    ok(cuda::launch_linear({.out = shared, .x = inner, .weight = down_.view().expert(0)}, "",
                           side.stream));
    ok(side.fork.end(side.stream));
    ok(cuda::launch_linear({.out = logits, .x = moe.x, .weight = router()}, "", stream));
    ok(cuda::launch_router_topk({.ids = ids, .weights = weights, .logits = logits}, stream));
    moe.shared = shared;
    ok(step_.launch(moe, variant, side.fork.take_end(), stream));
  }
  // After it has run.
  double bytes() const {
    return step_.bytes() + 2.0 * kExperts * kHidden + gate_.bytes_of_one() + up_.bytes_of_one() +
           down_.bytes_of_one();
  }
  double flops() const {
    return step_.flops() + 6.0 * static_cast<double>(tokens_) * kHidden * kInner;
  }

 private:
  MoeStep step_;
  std::int64_t tokens_;
  // Small, so that no score reaches one and experts are chosen evenly.
  static Bits random_router(unsigned seed) {
    std::mt19937 engine(seed);
    std::normal_distribution<float> normal(0, 0.02F);
    Bits bits;
    for (std::int64_t i = 0; i < kExperts * kHidden; ++i)
      bits.push_back(f32_to_bf16(normal(engine)));
    return bits;
  }
  WeightView router() const {
    return {.layout = {.format = WeightFormat::bf16, .rows = kExperts, .cols = kHidden},
            .data = router_.data()};
  }

  Memory router_;
  BenchWeight gate_;
  BenchWeight up_;
  BenchWeight down_;
  DeviceArray<float> logits_;
  Memory inner_;
  Memory shared_;
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
  // Several layers with weights of their own in one graph, as in decoding: for each of them.
  void moe_in_graphs(std::string_view format);

 private:
  template <typename Launch>
  void row(const std::string& name, std::string_view variant, std::int64_t tokens, double bytes,
           double flops, const Launch& launch) {
    line(name, variant, tokens, bytes, flops,
         timer_.median(11, [&] { cuda_ok(launch(), name.c_str()); }));
  }
  void line(const std::string& name, std::string_view variant, std::int64_t tokens, double bytes,
            double flops, double seconds) const {
    std::printf("%-26s %8s %7lld %10.1f %9.0f %9.1f %7.1f%%\n", name.c_str(),
                std::string(variant).c_str(), static_cast<long long>(tokens), seconds * 1e6,
                bytes / seconds * 1e-9, flops / seconds * 1e-12, 100 * bytes / seconds / read_);
    (void)std::fflush(stdout);
  }

  template <typename Step>
  void in_graph(const std::string& name, const MoeLayers& layers, std::int64_t tokens,
                std::string_view variant);

  std::string filter_;
  double read_;
  double mma_;
  bench::Timer timer_;
};

// For products whose columns are shared out among blocks, each after the other.
cuda::SplitSums split_sums() {
  constexpr int kBlocks = 512;
  static const DeviceArray<float> sums(std::size_t{kBlocks} * cuda::kSplitBlockSums);
  static const DeviceArray<std::uint32_t> counts(std::vector<std::uint32_t>(kBlocks, 0));
  static const int multiprocessors = cuda::bulk_limits().multiprocessors;
  return {
      .sums = sums.data(), .counts = counts.data(), .blocks = std::min(kBlocks, multiprocessors)};
}

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
      [&] { return cuda::launch_linear(args, variant, nullptr, split_sums()); });
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
  row(name, "", tokens, bytes, flops,
      [&] { return cuda::launch_head_linear(args, "", nullptr, split_sums()); });
}

void Table::moe(std::string_view format, std::int64_t tokens, std::string_view variant) {
  const std::string name = fmt::format("moe {} 4 of 64", format);
  if (name.find(filter_) == std::string::npos) return;
  const MoeWeights weights(format);
  const MoeStep step(weights, tokens, static_cast<unsigned>(tokens));
  row(name, variant, tokens, step.bytes(), step.flops(),
      [&] { return step.launch(variant, nullptr); });
}

template <typename Step>
void Table::in_graph(const std::string& name, const MoeLayers& layers, std::int64_t tokens,
                     std::string_view variant) {
  std::vector<std::unique_ptr<Step>> steps;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    steps.push_back(std::make_unique<Step>(*layers[i], tokens, static_cast<unsigned>(100 * i + 1)));
  }
  const bench::Graph graph([&](cudaStream_t stream) {
    for (const auto& step : steps) step->launch(variant, stream);
  });
  const double seconds = graph.seconds(21);
  double bytes = 0;
  for (const auto& step : steps) bytes += step->bytes();
  const auto count = static_cast<double>(layers.size());
  line(name, variant, tokens, bytes / count, steps[0]->flops(), seconds / count);
}

void Table::moe_in_graphs(std::string_view format) {
  const std::string experts = fmt::format("moe {} 4 of 64, graph", format);
  const std::string layer = fmt::format("moe {} layer, graph", format);
  const auto wanted = [&](const std::string& name) {
    return name.find(filter_) != std::string::npos;
  };
  if (!wanted(experts) && !wanted(layer)) return;
  constexpr int kLayers = 8;
  MoeLayers layers;
  for (int i = 0; i < kLayers; ++i) layers.push_back(std::make_unique<MoeWeights>(format));
  if (wanted(experts)) {
    for (const std::int64_t tokens : {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024}) {
      in_graph<MoeStep>(experts, layers, tokens, "");
    }
    for (const std::int64_t tokens : {1, 8, 64, 128}) {
      in_graph<MoeStep>(experts, layers, tokens, "stream");
    }
    for (const std::int64_t tokens : {128, 512, 1024}) {
      in_graph<MoeStep>(experts, layers, tokens, "tiles");
    }
  }
  if (!wanted(layer)) return;
  for (const std::int64_t tokens : {1, 2, 4, 8}) {
    in_graph<MoeLayer>(layer, layers, tokens, "whole");
  }
  for (const std::int64_t tokens : {1, 2, 4, 8, 16, 32, 64}) {
    in_graph<MoeLayer>(layer, layers, tokens, "");
  }
}

// What prompts are made of, in all ways there are.
void prompts(Table& table) {
  constexpr std::array<std::array<std::int64_t, 2>, 6> kLinears = {
      {{2048, 768}, {2048, 576}, {768, 5120}, {5120, 2048}, {2048, 10240}, {512, 8960}}};
  for (const std::int64_t tokens : {256, 512, 1024, 2048, 8192}) {
    for (const std::string_view variant : {"tiles", "wgmma", ""}) {
      for (const auto [inputs, outputs] : kLinears) {
        table.linear("prompt int4", inputs, outputs, tokens, variant);
      }
      table.linear("prompt bf16", 2048, 3072, tokens, variant);
      table.linear("prompt bf16", 1536, 2048, tokens, variant);
      table.linear("prompt nvfp4", 2048, 10240, tokens, variant);
      table.moe("prompt int4", tokens, variant);
    }
  }
  for (const std::string_view format :
       {"prompt int4 g128", "prompt int4 g128 zeros", "prompt mxfp4", "prompt nvfp4"}) {
    for (const std::int64_t tokens : {512, 2048}) {
      for (const std::string_view variant : {"tiles", "bulk", ""}) {
        table.linear(format, 5120, 2048, tokens, variant);
        table.moe(format, tokens, variant);
      }
    }
  }
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
    table.moe_in_graphs(format);
    table.moe(format, 64, "tiles");
    table.moe(format, 128, "tiles");
    table.moe(format, 8, "naive");
  }
  prompts(table);
  for (const std::string_view format : {"int4", "bf16", "fp8"}) {
    using Half = Table::Half;
    for (const Half half : {Half::w_uk, Half::w_uv, Half::w_uk_turned_at_load}) {
      for (const std::int64_t tokens : {1, 8, 64, 512}) table.heads(format, half, tokens);
    }
    for (const std::int64_t tokens : {512, 4096}) table.linear(format, 512, 8960, tokens, "");
  }
  for (const std::int64_t tokens : {1, 8, 32, 64}) table.linear("bf16", 2048, 154880, tokens, "");
  for (const std::string_view format : {"fp8", "nvfp4"}) {
    for (const std::int64_t tokens : {1, 64, 512}) {
      table.linear(format, 5120, 2048, tokens, "");
      table.moe(format, tokens, "");
    }
  }
  table.moe_in_graphs("nvfp4");
}

}  // namespace
}  // namespace glm::kernels

int main(int argc, char** argv) {
  glm::kernels::run(argc > 1 ? argv[1] : "");
  return 0;
}
