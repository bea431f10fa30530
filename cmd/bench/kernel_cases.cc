#include "cmd/bench/kernel_cases.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "cmd/bench/kernel_dims.h"

namespace glm::bench {
namespace {

using kernels::Dtype;
using kernels::Ops;
using kernels::TensorView;

// A residual sum and its norm.
kernels::RmsNorm norm_of(KernelMemory& memory, const Ops& ops, std::int64_t tokens) {
  kernels::RmsNorm norm;
  norm.out = matrix(memory, ops, tokens, kHidden);
  norm.x = matrix(memory, ops, tokens, kHidden);
  norm.weight = TensorView(memory.activations(kHidden), ops.activation_dtype(), {kHidden});
  norm.residual = matrix(memory, ops, tokens, kHidden);
  norm.sum = matrix(memory, ops, tokens, kHidden);
  norm.eps = 1e-5F;
  return norm;
}

KernelRow norm() {
  return {.name = fmt::format("sum and norm {}", kHidden),
          .bytes_of_one = kHidden * 2,
          .make = [](KernelMemory& memory, Ops& ops, std::int64_t tokens) {
            const kernels::RmsNorm norm = norm_of(memory, ops, tokens);
            return KernelCase{
                .bytes = element_bytes(ops) * static_cast<double>((4 * tokens + 1) * kHidden),
                .enqueue = [=, &ops] { ops.rms_norm(norm); }};
          }};
}

// What a layer begins with.
KernelRow normed(const kernels::WeightLayout& layout) {
  return {.name = fmt::format("norm and {} {}->{}", form_of(layout), layout.cols, layout.rows),
          .bytes_of_one = layout.total_bytes(),
          .make = [layout](KernelMemory& memory, Ops& ops, std::int64_t tokens) {
            const kernels::RmsNorm norm = norm_of(memory, ops, tokens);
            const kernels::WeightView weight = memory.weights(layout).expert(0);
            const TensorView out = matrix(memory, ops, tokens, layout.rows);
            const auto many = static_cast<double>(tokens);
            return KernelCase{.bytes = static_cast<double>(layout.total_bytes()) +
                                       many * element_bytes(ops) *
                                           static_cast<double>(3 * layout.cols + layout.rows),
                              .flops = 2 * many * static_cast<double>(layout.cols * layout.rows),
                              .enqueue = [=, &ops] {
                                ops.normed_linear({.out = out, .norm = norm, .weight = weight});
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
  std::vector<KernelRow> rows = {normed(int4(kQRank + kKvRank + kRope, kHidden))};
  const auto add = [&rows](std::vector<KernelRow> more) {
    for (KernelRow& row : more) rows.push_back(std::move(row));
  };
  add(attention_rows());
  add({linear_row(int4(kHidden, kHeads * kValue)), norm(), linear_row(bf16(kExperts, kHidden)),
       router_row(), gated_row(bf16(kInner, kHidden)), linear_row(bf16(kHidden, kInner)),
       experts_row(), gated_row(bf16(kDense, kHidden)), linear_row(bf16(kHidden, kDense)),
       linear_row(bf16(kVocab, kHidden)), choose_token()});
  return rows;
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
