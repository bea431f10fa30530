// Latent attention, as a step decodes and as it works off a prompt.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <utility>

#include "cmd/bench/kernel_dims.h"

namespace glm::bench {
namespace {

using kernels::Dtype;
using kernels::Ops;
using kernels::TensorView;

// kv_b, of which queries read one half and values the other.
const kernels::WeightLayout kKvB = int4(kHeads * (kNope + kValue), kKvRank);

double kv_b_bytes(std::int64_t head_rows) {
  return static_cast<double>(kKvB.total_bytes()) * static_cast<double>(head_rows) /
         static_cast<double>(kNope + kValue);
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

struct Turns {
  Turns(KernelMemory& memory, std::int64_t tokens) {
    std::vector<float> frequencies;
    for (std::int64_t k = 0; k < kRope / 2; ++k) {
      frequencies.push_back(std::pow(1e6F, -static_cast<float>(k) / (kRope / 2.0F)));
    }
    positions = {memory.of(std::vector<std::int32_t>(static_cast<std::size_t>(tokens),
                                                     static_cast<std::int32_t>(kContext - 1))),
                 Dtype::i32,
                 {tokens}};
    inv_freq = {memory.of(frequencies), Dtype::f32, {kRope / 2}};
  }
  TensorView positions;
  TensorView inv_freq;
};

// Norms of both, queries from one of them, the key turned, a row into the cache.
KernelRow latents() {
  const kernels::WeightLayout layout = int4(kHeads * (kNope + kRope), kQRank);
  return {.name = "latents and queries int4 768->5120",
          .bytes_of_one = layout.total_bytes(),
          .tokens_max = kDecodeMax,
          .make = [layout](KernelMemory& memory, Ops& ops, std::int64_t tokens) {
            const Cache cache(memory, ops, tokens);
            const Turns turns(memory, tokens);
            const kernels::WeightView weight = memory.weights(layout).expert(0);
            const TensorView q = matrix(memory, ops, tokens, layout.rows);
            const TensorView query = matrix(memory, ops, tokens, kQRank);
            const TensorView row = matrix(memory, ops, tokens, kKvRank + kRope);
            const TensorView q_norm(memory.activations(kQRank), ops.activation_dtype(), {kQRank});
            const TensorView kv_norm(memory.activations(kKvRank), ops.activation_dtype(),
                                     {kKvRank});
            const auto many = static_cast<double>(tokens);
            return KernelCase{
                .bytes = static_cast<double>(layout.total_bytes()) +
                         many * element_bytes(ops) *
                             static_cast<double>(layout.rows + kQRank + 2 * (kKvRank + kRope)),
                .flops = 2 * many * static_cast<double>(layout.rows * layout.cols),
                .enqueue = [=, &ops] {
                  ops.mla_latents({.q = q,
                                   .query = query,
                                   .row = row,
                                   .q_norm = q_norm,
                                   .kv_norm = kv_norm,
                                   .eps = 1e-5F,
                                   .q_b = weight,
                                   .inv_freq = turns.inv_freq,
                                   .rows = cache.rows,
                                   .tokens = cache.tokens});
                }};
          }};
}

KernelRow queries_of_heads() {
  return {.name = "queries of heads int4 192->512",
          .bytes_of_one = static_cast<std::int64_t>(kv_b_bytes(kNope)),
          .tokens_max = kDecodeMax,
          .make = [](KernelMemory& memory, Ops& ops, std::int64_t tokens) {
            const kernels::WeightView weight = memory.weights(kKvB).expert(0);
            const Turns turns(memory, tokens);
            const TensorView q = heads(memory, ops, tokens, kNope + kRope);
            const TensorView out = heads(memory, ops, tokens, kKvRank + kRope);
            const auto count = static_cast<double>(tokens * kHeads);
            return KernelCase{
                .bytes = kv_b_bytes(kNope) + count * element_bytes(ops) *
                                                 static_cast<double>(kNope + kKvRank + 2 * kRope),
                .flops = 2 * count * static_cast<double>(kNope * kKvRank),
                .enqueue = [=, &ops] {
                  ops.mla_queries({.out = out,
                                   .q = q,
                                   .weight = weight,
                                   .head_rows = kNope + kValue,
                                   .positions = turns.positions,
                                   .inv_freq = turns.inv_freq});
                }};
          }};
}

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

KernelRow values_of_heads() {
  return {.name = "values of heads int4 512->256",
          .bytes_of_one = static_cast<std::int64_t>(kv_b_bytes(kValue)),
          .tokens_max = kDecodeMax,
          .make = [](KernelMemory& memory, Ops& ops, std::int64_t tokens) {
            const kernels::WeightView weight = memory.weights(kKvB).expert(0);
            const TensorView x = heads(memory, ops, tokens, kKvRank);
            const TensorView out = heads(memory, ops, tokens, kValue);
            const auto count = static_cast<double>(tokens * kHeads);
            return KernelCase{
                .bytes = kv_b_bytes(kValue) +
                         count * element_bytes(ops) * static_cast<double>(kValue + kKvRank),
                .flops = 2 * count * static_cast<double>(kValue * kKvRank),
                .enqueue = [=, &ops] {
                  ops.head_linear({.out = out,
                                   .x = x,
                                   .weight = weight,
                                   .head_rows = kNope + kValue,
                                   .first_row = kNope});
                }};
          }};
}

// All of the above as one, as a step asks for it.
KernelRow decoding() {
  const kernels::WeightLayout layout = int4(kHeads * (kNope + kRope), kQRank);
  const std::int64_t weight_bytes = layout.total_bytes() + kKvB.total_bytes();
  return {.name = fmt::format("the four as one, over {} tokens", kContext),
          .bytes_of_one = weight_bytes + kContext * (kKvRank + kRope) * 2,
          .tokens_max = 8,
          .make = [layout, weight_bytes](KernelMemory& memory, Ops& ops, std::int64_t tokens) {
            const Cache cache(memory, ops, tokens);
            const Turns turns(memory, tokens);
            const kernels::WeightView q_b = memory.weights(layout).expert(0);
            const kernels::WeightView kv_b = memory.weights(kKvB).expert(0);
            const auto vector = [&](std::int64_t size) {
              return TensorView(memory.activations(size), ops.activation_dtype(), {size});
            };
            const kernels::MlaDecode decode{
                .out = heads(memory, ops, tokens, kValue),
                .latents = {.q = matrix(memory, ops, tokens, layout.rows),
                            .query = matrix(memory, ops, tokens, kQRank),
                            .row = matrix(memory, ops, tokens, kKvRank + kRope),
                            .q_norm = vector(kQRank),
                            .kv_norm = vector(kKvRank),
                            .eps = 1e-5F,
                            .q_b = q_b,
                            .inv_freq = turns.inv_freq,
                            .rows = cache.rows,
                            .tokens = cache.tokens},
                .kv_b = kv_b,
                .absorbed = heads(memory, ops, tokens, kKvRank + kRope),
                .mixed = heads(memory, ops, tokens, kKvRank),
                .scale = 0.0625F};
            const auto many = static_cast<double>(tokens);
            const auto pairs = static_cast<double>(tokens * kContext);
            const auto width = static_cast<double>(2 * kKvRank + kRope);
            const auto heads_each = static_cast<double>(kHeads);
            return KernelCase{
                .bytes = static_cast<double>(weight_bytes) +
                         element_bytes(ops) * (pairs * static_cast<double>(kKvRank + kRope) +
                                               many * static_cast<double>(kQRank + kKvRank + kRope +
                                                                          kHeads * kValue)),
                .flops = 2 * many * static_cast<double>(layout.rows * layout.cols) +
                         2 * many * static_cast<double>(kKvB.rows * kKvB.cols) +
                         2 * pairs * heads_each * width,
                .enqueue = [=, &ops] { ops.mla_decode(decode); }};
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

}  // namespace

std::vector<KernelRow> attention_rows() {
  KernelRow queries = linear_row(int4(kHeads * (kNope + kRope), kQRank));
  queries.tokens_min = kDecodeMax + 1;  // a prompt's; up to there latents() has them
  return {latents(),         std::move(queries), queries_of_heads(),    attention_of_decoding(),
          values_of_heads(), decoding(),         attention_of_prompts()};
}

}  // namespace glm::bench
