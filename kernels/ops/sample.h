// Chooses the token that follows each row of logits, as the row's own settings say.
//
// In this order, for the ids of [0, min(vocab, vocab_limit)):
//   1. bias        logit += bias of the id; -infinity bans it
//   2. penalties   of ids that occur n > 0 times among the last repeat_last_n tokens of the
//   history:
//                  positive logits are divided by repeat_penalty, others multiplied with it; then
//                  presence_penalty + n * frequency_penalty is subtracted
//   3. temperature 0 (or none of the numbers above 0): the largest logit wins, and all that follows
//                  is left out. Else p = softmax(logit / temperature)
//   4. top_k       the k most likely stay; 0: all
//   5. top_p       of these, the most likely ones stay that together have top_p of the mass; at
//                  least one; 1: all
//   6. min_p       of these, those stay with p >= min_p * p of the most likely one
//   7. a draw      in proportion to p
// Equal logits rank by id, the lower first, here and everywhere below. NaN counts as -infinity. If
// the largest logit is not finite, it wins, as at temperature 0.
//
// The draw is the largest of logit / temperature + g, g a Gumbel number that depends on nothing but
// the row's seed, the position the token will have, and its id (Philox 4x32-10, kernels/draw.h). So
// the same logits, history and settings give the same token in any batch, on any backend, and again
// when a sequence is worked off a second time.
//
//   logits   [rows, vocab]  f32   columns contiguous; only read, unless there is a head
//   head     a product (linear.h) whose results the logits are, in f32; optional: it is part of the
//            operation then. Where no row looks at its logits they are undefined afterwards
//   rows     [rows]               in device memory, like everything here
//   out      [rows]
//   history  pages of ids (step_ids.h), 16-byte aligned: the tokens at 0 .. row.position of
//            row.sequence. The chosen id is written to cell row.next_cell, counted over all pages
//   biases   of all rows; a row's are bias_first .. bias_first + bias_count - 1, an id at most once
//            among them; ids outside the vocabulary do nothing. Not NaN, not +infinity
//
// Logprobs are those of the logits as they came, before 1 and 2, over the same ids.
//
// Bounds   rows >= 0 (0 does nothing), 1 <= vocab < 2^24, 1 <= vocab_limit, position < 2^31 - 1.
// Numerics integer sums and f32/f64 operations in a fixed form: results are the same bits on every
//          backend. Against exact arithmetic: logprobs absolute 1e-5 (relative above 10); masses
//          relative 1e-6, so that a token may stay or go whose sum is that near to top_p.
// Cost     one read of the logits; rows with top_k, top_p or logprobs a few more. With a head that
//          of the product; cuda then need not write logits that nobody looks at (head_choice.h).
// Stream-ordered, allocates nothing, safe inside graph capture: what the rows ask for is read when
// it runs, and must be within may_filter and may_look.
#pragma once

#include <cstdint>
#include <limits>

#include "base/check.h"
#include "kernels/match.h"
#include "kernels/ops/linear.h"
#include "kernels/ops/step_ids.h"

namespace glm::kernels {

constexpr std::int32_t kLogprobsMax = 20;

// Defaults change nothing: the most likely token is taken.
struct SampleRow {
  std::uint64_t seed = 0;
  std::int32_t sequence = 0;    // its row of the page table
  std::int32_t position = 0;    // of the token whose logits these are
  std::int32_t next_cell = -1;  // -1: none, the id is reported only
  std::int32_t vocab_limit = std::numeric_limits<std::int32_t>::max();
  float temperature = 0;
  std::int32_t top_k = 0;
  float top_p = 1;
  float min_p = 0;
  float repeat_penalty = 1;
  float presence_penalty = 0;
  float frequency_penalty = 0;
  std::int32_t repeat_last_n = 0;  // -1: all of the history
  std::int32_t bias_first = 0;
  std::int32_t bias_count = 0;
  std::int32_t logprobs = -1;  // -1: none; n: that of the chosen and of the n most likely, n <= 20
};
static_assert(sizeof(SampleRow) == 72 && alignof(SampleRow) == 8);

struct LogitBias {
  std::int32_t id = 0;
  float bias = 0;
};

struct SampledRow {
  std::int32_t id = 0;
  std::int32_t finite = 0;  // 1: every logit of the row was; 0: do not trust the id
  float logprob = 0;        // of id, where asked for
  std::int32_t top_count = 0;
  std::int32_t top_ids[kLogprobsMax] = {};  // most likely first
  float top_logprobs[kLogprobsMax] = {};
};
static_assert(sizeof(SampledRow) == 176);

struct Sample {
  SampledRow* out = nullptr;
  ConstTensorView logits;
  const SampleRow* rows = nullptr;
  PagedIds history;
  const LogitBias* biases = nullptr;
  // What the host knows without asking the device: false if no row filters, or looks at its logits
  // (draw_settings.h). Who filters looks.
  bool may_filter = true;
  bool may_look = true;
  Linear head = {};
};

inline void check(const Sample& a) {
  Dim rows("rows");
  Dim vocab("vocab");
  match(a.logits, "logits").shape({&rows, &vocab}).dtype({Dtype::f32}).rows_contiguous();
  check(a.history);
  GLM_CHECK(vocab.value() >= 1 && vocab.value() < (1LL << 24U));
  GLM_CHECK(rows.value() == 0 || (a.out != nullptr && a.rows != nullptr));
  GLM_CHECK(a.may_look || !a.may_filter);
  if (!a.head.out) return;
  check(a.head);
  GLM_CHECK(a.head.out.dtype == Dtype::f32 && a.head.out.data == a.logits.data &&
            a.head.out.size(0) == rows.value() && a.head.out.size(1) == vocab.value() &&
            a.head.out.stride(0) == a.logits.stride(0));
}

}  // namespace glm::kernels
