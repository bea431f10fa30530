// Linear layers, experts, and their choice.
#include <fmt/format.h>

#include <random>
#include <set>

#include "cmd/bench/kernel_dims.h"

namespace glm::bench {
namespace {

using kernels::Dtype;
using kernels::Ops;
using kernels::TensorView;
using kernels::WeightLayout;

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

}  // namespace

KernelRow linear_row(const WeightLayout& layout) {
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

KernelRow gated_row(const WeightLayout& layout) {
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

KernelRow router_row() {
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

KernelRow experts_row() {
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

}  // namespace glm::bench
