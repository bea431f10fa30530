#include "cmd/bench/kernel_cases.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <set>

namespace glm::bench {
namespace {

using kernels::Dtype;
using kernels::Ops;
using kernels::TensorView;
using kernels::WeightFormat;
using kernels::WeightLayout;

constexpr std::int64_t kHidden = 2048;
constexpr std::int64_t kHeads = 20;
constexpr std::int64_t kQRank = 768;
constexpr std::int64_t kKvRank = 512;
constexpr std::int64_t kNope = 192;
constexpr std::int64_t kRope = 64;
constexpr std::int64_t kValue = 256;
constexpr std::int64_t kExperts = 64;
constexpr std::int64_t kChosen = 4;
constexpr std::int64_t kInner = 1536;
constexpr std::int64_t kDense = 10240;
constexpr std::int64_t kVocab = 154880;
constexpr std::int64_t kContext = 1024;  // of every sequence that decodes

// Up to here a step decodes, a token for each sequence; beyond it is a prompt.
constexpr std::int64_t kDecodeMax = 64;
constexpr std::int64_t kLogitsMax = 256;  // rows of them in a step

WeightLayout int4(std::int64_t rows, std::int64_t cols) {
  return {.format = WeightFormat::int4_group, .rows = rows, .cols = cols, .group = 32};
}
WeightLayout bf16(std::int64_t rows, std::int64_t cols) {
  return {.format = WeightFormat::bf16, .rows = rows, .cols = cols};
}
std::string form_of(const WeightLayout& layout) {
  return layout.format == WeightFormat::bf16 ? "bf16" : "int4";
}

double element_bytes(const Ops& ops) {
  return static_cast<double>(kernels::size_bytes(ops.activation_dtype()));
}

TensorView matrix(KernelMemory& memory, const Ops& ops, std::int64_t rows, std::int64_t cols) {
  return {memory.activations(rows * cols), ops.activation_dtype(), {rows, cols}};
}
TensorView heads(KernelMemory& memory, const Ops& ops, std::int64_t tokens, std::int64_t width) {
  return {
      memory.activations(tokens * kHeads * width), ops.activation_dtype(), {tokens, kHeads, width}};
}

KernelRow linear(const WeightLayout& layout) {
  return {.name = fmt::format("linear {} {}->{}", form_of(layout), layout.cols, layout.rows),
          .bytes_of_one = layout.total_bytes(),
          .tokens_max = layout.rows == kVocab ? kLogitsMax : 1 << 20,
          .make = [layout](KernelMemory& memory, Ops& ops, std::int64_t tokens) {
            const kernels::WeightView weight = memory.weights(layout).expert(0);
            const TensorView x = matrix(memory, ops, tokens, layout.cols);
            const bool f32 = layout.rows == kVocab || layout.rows == kExperts;
            const TensorView out = f32 ? TensorView(memory.empty(tokens * layout.rows * 4),
                                                    Dtype::f32, {tokens, layout.rows})
                                       : matrix(memory, ops, tokens, layout.rows);
            const auto many = static_cast<double>(tokens);
            return KernelCase{
                .bytes = static_cast<double>(layout.total_bytes()) +
                         many * element_bytes(ops) * static_cast<double>(layout.cols + layout.rows),
                .flops = 2 * many * static_cast<double>(layout.cols * layout.rows),
                .enqueue = [&ops, weight, x, out] {
                  ops.linear({.out = out, .x = x, .weight = weight});
                }};
          }};
}

KernelRow gated(const WeightLayout& layout) {
  return {.name = fmt::format("gate and up {} {}->{}", form_of(layout), layout.cols, layout.rows),
          .bytes_of_one = 2 * layout.total_bytes(),
          .make = [layout](KernelMemory& memory, Ops& ops, std::int64_t tokens) {
            const kernels::WeightView gate = memory.weights(layout).expert(0);
            const kernels::WeightView up = memory.weights(layout).expert(0);
            const TensorView x = matrix(memory, ops, tokens, layout.cols);
            const TensorView out = matrix(memory, ops, tokens, layout.rows);
            const auto many = static_cast<double>(tokens);
            return KernelCase{
                .bytes = 2 * static_cast<double>(layout.total_bytes()) +
                         many * element_bytes(ops) * static_cast<double>(layout.cols + layout.rows),
                .flops = 4 * many * static_cast<double>(layout.cols * layout.rows),
                .enqueue = [&ops, gate, up, x, out] {
                  ops.gated_linear({.out = out, .x = x, .gate = gate, .up = up});
                }};
          }};
}

// Both halves of kv_b, each read by itself.
KernelRow absorb(kernels::HeadOrder order) {
  const bool key = order == kernels::HeadOrder::transposed;
  const WeightLayout layout = int4(kHeads * (kNope + kValue), kKvRank);
  return {.name = key ? "W_UK int4 by head" : "W_UV int4 by head",
          .bytes_of_one = layout.total_bytes() * (key ? kNope : kValue) / (kNope + kValue),
          .tokens_max = kDecodeMax,
          .make = [=](KernelMemory& memory, Ops& ops, std::int64_t tokens) {
            const kernels::WeightView weight = memory.weights(layout).expert(0);
            const std::int64_t width = key ? kNope : kValue;
            const TensorView x = heads(memory, ops, tokens, key ? kNope : kKvRank);
            const TensorView out = heads(memory, ops, tokens, key ? kKvRank : kValue);
            const auto values = static_cast<double>(tokens * kHeads);
            return KernelCase{
                .bytes = static_cast<double>(layout.total_bytes()) * static_cast<double>(width) /
                             static_cast<double>(kNope + kValue) +
                         values * element_bytes(ops) * static_cast<double>(width + kKvRank),
                .flops = 2 * values * static_cast<double>(width * kKvRank),
                .enqueue = [=, &ops] {
                  ops.head_linear({.out = out,
                                   .x = x,
                                   .weight = weight,
                                   .head_rows = kNope + kValue,
                                   .first_row = key ? 0 : kNope,
                                   .order = order});
                }};
          }};
}

// Sequences of kContext tokens, the last of each at its end, in pages of no order.
struct Cache {
  Cache(KernelMemory& memory, const Ops& ops, std::int64_t sequences) {
    const std::int64_t pages_each = kContext / kernels::kPageTokens;
    std::vector<std::int32_t> table;
    std::vector<std::int32_t> sequence;
    for (std::int64_t i = 0; i < sequences * pages_each; ++i) {
      table.push_back(static_cast<std::int32_t>(i));
    }
    std::shuffle(table.begin(), table.end(), std::mt19937{3});
    for (std::int64_t i = 0; i < sequences; ++i) sequence.push_back(static_cast<std::int32_t>(i));
    const std::vector<std::int32_t> position(sequence.size(), kContext - 1);
    rows = {.pages = {memory.activations(sequences * kContext * (kKvRank + kRope)),
                      ops.activation_dtype(),
                      {sequences * pages_each, kernels::kPageTokens, kKvRank + kRope}},
            .table = {memory.of(table), Dtype::i32, {sequences, pages_each}}};
    tokens = {.sequence = {memory.of(sequence), Dtype::i32, {sequences}},
              .position = {memory.of(position), Dtype::i32, {sequences}},
              .positions_max = kContext};
  }
  kernels::PagedRows rows;
  kernels::StepTokens tokens;
};

KernelRow attention_of_decoding() {
  return {.name = fmt::format("attention over {} tokens", kContext),
          .bytes_of_one = kContext * (kKvRank + kRope) * 2,
          .tokens_max = kDecodeMax,
          .make = [](KernelMemory& memory, Ops& ops, std::int64_t tokens) {
            const Cache cache(memory, ops, tokens);
            const TensorView q = heads(memory, ops, tokens, kKvRank + kRope);
            const TensorView out = heads(memory, ops, tokens, kKvRank);
            const auto pairs = static_cast<double>(tokens * kContext);
            const auto values = static_cast<double>(tokens * kHeads);
            const auto width = static_cast<double>(2 * kKvRank + kRope);
            return KernelCase{
                .bytes = element_bytes(ops) *
                         (pairs * static_cast<double>(kKvRank + kRope) + values * width),
                .flops = 2 * pairs * static_cast<double>(kHeads) * width,
                .enqueue = [=, &ops] {
                  ops.mla_absorbed({.out = out,
                                    .q = q,
                                    .rows = cache.rows,
                                    .tokens = cache.tokens,
                                    .scale = 0.0625F});
                }};
          }};
}

KernelRow attention_of_prompts() {
  return {.name = "attention of a prompt",
          .tokens_min = kDecodeMax + 1,
          .make = [](KernelMemory& memory, Ops& ops, std::int64_t tokens) {
            const TensorView q = heads(memory, ops, tokens, kNope + kRope);
            const TensorView kv = heads(memory, ops, tokens, kNope + kValue);
            const TensorView key = matrix(memory, ops, tokens, kRope);
            const TensorView out = heads(memory, ops, tokens, kValue);
            const auto many = static_cast<double>(tokens);
            return KernelCase{
                .bytes = many * element_bytes(ops) *
                         static_cast<double>(kHeads * (2 * kNope + kRope + 2 * kValue) + kRope),
                .flops = many * (many + 1) / 2 * 2 *
                         static_cast<double>(kHeads * (kNope + kRope + kValue)),
                .enqueue = [=, &ops] {
                  ops.mla_expanded({.out = out,
                                    .q = q,
                                    .k = kv.slice(2, 0, kNope),
                                    .k_rope = key,
                                    .v = kv.slice(2, kNope, kValue),
                                    .scale = 0.0625F});
                }};
          }};
}

// Different ones for each token, evenly chosen.
std::vector<std::int32_t> chosen_experts(std::int64_t tokens, std::mt19937& random) {
  std::vector<std::int32_t> ids;
  for (std::int64_t t = 0; t < tokens; ++t) {
    std::set<std::int32_t> own;
    while (own.size() < kChosen) own.insert(static_cast<std::int32_t>(random() % kExperts));
    ids.insert(ids.end(), own.begin(), own.end());
  }
  return ids;
}

KernelRow experts() {
  const WeightLayout wide = int4(kInner, kHidden);
  const WeightLayout narrow = int4(kHidden, kInner);
  const std::int64_t one = 2 * wide.total_bytes() + narrow.total_bytes();
  return {.name = "experts int4 4 of 64",
          .bytes_of_one = kChosen * one,
          .make = [=](KernelMemory& memory, Ops& ops, std::int64_t tokens) {
            std::mt19937 random(static_cast<unsigned>(tokens));
            const std::vector<std::int32_t> ids = chosen_experts(tokens, random);
            const std::set<std::int32_t> distinct(ids.begin(), ids.end());
            const kernels::ExpertsView gate = memory.weights(wide, kExperts);
            const kernels::ExpertsView up = memory.weights(wide, kExperts);
            const kernels::ExpertsView down = memory.weights(narrow, kExperts);
            const TensorView x = matrix(memory, ops, tokens, kHidden);
            const TensorView out = matrix(memory, ops, tokens, kHidden);
            const TensorView id_view(memory.of(ids), Dtype::i32, {tokens, kChosen});
            const TensorView weights(memory.of(std::vector<float>(ids.size(), 0.25F)), Dtype::f32,
                                     {tokens, kChosen});
            const auto many = static_cast<double>(tokens);
            return KernelCase{
                .bytes = static_cast<double>(distinct.size()) * static_cast<double>(one) +
                         2 * many * element_bytes(ops) * static_cast<double>(kHidden),
                .flops = 6 * many * static_cast<double>(kChosen * kHidden * kInner),
                .enqueue = [=, &ops] {
                  ops.moe_mlp({.out = out,
                               .x = x,
                               .ids = id_view,
                               .weights = weights,
                               .gate = gate,
                               .up = up,
                               .down = down});
                }};
          }};
}

KernelRow router_choice() {
  return {
      .name = "choice of experts", .make = [](KernelMemory& memory, Ops& ops, std::int64_t tokens) {
        const runner::RandomValues normal{
            .kind = runner::RandomValues::Kind::normal, .a = 0, .b = 1};
        const TensorView logits(memory.random(normal, Dtype::f32, tokens * kExperts), Dtype::f32,
                                {tokens, kExperts});
        const TensorView ids(memory.empty(tokens * kChosen * 4), Dtype::i32, {tokens, kChosen});
        const TensorView weights(memory.empty(tokens * kChosen * 4), Dtype::f32, {tokens, kChosen});
        return KernelCase{.bytes = 4.0 * static_cast<double>(tokens * (kExperts + 2 * kChosen)),
                          .enqueue = [=, &ops] {
                            ops.router_topk({.ids = ids, .weights = weights, .logits = logits});
                          }};
      }};
}

KernelRow norm() {
  return {.name = fmt::format("norm and sum {}", kHidden),
          .bytes_of_one = kHidden * 2,
          .make = [](KernelMemory& memory, Ops& ops, std::int64_t tokens) {
            const TensorView x = matrix(memory, ops, tokens, kHidden);
            const TensorView residual = matrix(memory, ops, tokens, kHidden);
            const TensorView out = matrix(memory, ops, tokens, kHidden);
            const TensorView weight(memory.activations(kHidden), ops.activation_dtype(), {kHidden});
            return KernelCase{
                .bytes = element_bytes(ops) * static_cast<double>((4 * tokens + 1) * kHidden),
                .enqueue = [=, &ops] {
                  ops.rms_norm(
                      {.out = out, .x = x, .weight = weight, .residual = residual, .eps = 1e-5F});
                }};
          }};
}

KernelRow turn() {
  return {.name = "rope of 20 heads",
          .make = [](KernelMemory& memory, Ops& ops, std::int64_t tokens) {
            const TensorView x = heads(memory, ops, tokens, kRope);
            std::vector<std::int32_t> positions;
            for (std::int64_t t = 0; t < tokens; ++t) {
              positions.push_back(static_cast<std::int32_t>(t));
            }
            std::vector<float> frequencies;
            for (std::int64_t k = 0; k < kRope / 2; ++k) {
              frequencies.push_back(std::pow(1e6F, -static_cast<float>(k) / (kRope / 2.0F)));
            }
            const TensorView places(memory.of(positions), Dtype::i32, {tokens});
            const TensorView inv_freq(memory.of(frequencies), Dtype::f32, {kRope / 2});
            return KernelCase{
                .bytes = 2 * element_bytes(ops) * static_cast<double>(tokens * kHeads * kRope),
                .enqueue = [=, &ops] {
                  ops.rope({.out = x, .x = x, .positions = places, .inv_freq = inv_freq});
                }};
          }};
}

KernelRow store() {
  return {.name = "rows into the cache",
          .tokens_max = kDecodeMax,
          .make = [](KernelMemory& memory, Ops& ops, std::int64_t tokens) {
            const Cache cache(memory, ops, tokens);
            const TensorView x = matrix(memory, ops, tokens, kKvRank + kRope);
            return KernelCase{
                .bytes = 2 * element_bytes(ops) * static_cast<double>(tokens * (kKvRank + kRope)),
                .enqueue = [=, &ops] {
                  ops.store_rows({.rows = cache.rows, .tokens = cache.tokens, .x = x});
                }};
          }};
}

KernelRow choose_token() {
  return {.name = "token at temperature 1",
          .bytes_of_one = kVocab * 4,
          .tokens_max = kLogitsMax,
          .make = [](KernelMemory& memory, Ops& ops, std::int64_t tokens) {
            const runner::RandomValues normal{
                .kind = runner::RandomValues::Kind::normal, .a = 0, .b = 3};
            const TensorView logits(memory.random(normal, Dtype::f32, tokens * kVocab), Dtype::f32,
                                    {tokens, kVocab});
            std::vector<kernels::SampleRow> rows(static_cast<std::size_t>(tokens));
            for (std::size_t i = 0; i < rows.size(); ++i) {
              rows[i].seed = i;
              rows[i].temperature = 1;
            }
            const TensorView pages(memory.empty(kernels::kPageTokens * 4), Dtype::i32,
                                   {1, kernels::kPageTokens});
            const TensorView table(memory.empty(4), Dtype::i32, {1, 1});
            auto* out = static_cast<kernels::SampledRow*>(
                memory.empty(tokens * static_cast<std::int64_t>(sizeof(kernels::SampledRow))));
            const auto* row_data = static_cast<const kernels::SampleRow*>(memory.of(rows));
            return KernelCase{.bytes = 4.0 * static_cast<double>(tokens * kVocab),
                              .enqueue = [=, &ops] {
                                ops.sample({.out = out,
                                            .logits = logits,
                                            .rows = row_data,
                                            .history = {.pages = pages, .table = table}});
                              }};
          }};
}

}  // namespace

std::vector<KernelRow> kernel_rows() {
  return {norm(),
          linear(int4(kQRank, kHidden)),
          linear(int4(kHeads * (kNope + kRope), kQRank)),
          linear(int4(kKvRank + kRope, kHidden)),
          turn(),
          store(),
          absorb(kernels::HeadOrder::transposed),
          attention_of_decoding(),
          absorb(kernels::HeadOrder::as_stored),
          attention_of_prompts(),
          linear(int4(kHidden, kHeads * kValue)),
          linear(bf16(kExperts, kHidden)),
          router_choice(),
          gated(bf16(kInner, kHidden)),
          linear(bf16(kHidden, kInner)),
          experts(),
          gated(bf16(kDense, kHidden)),
          linear(bf16(kHidden, kDense)),
          linear(bf16(kVocab, kHidden)),
          choose_token()};
}

kernels::WorkspaceBounds kernel_bounds(std::int64_t tokens) {
  return {.tokens = tokens,
          .chosen = kChosen,
          .experts = kExperts,
          .hidden = kHidden,
          .inner = kInner,
          .rows = std::min(tokens, kLogitsMax),
          .vocab = kVocab};
}

}  // namespace glm::bench
