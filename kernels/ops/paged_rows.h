// Cached rows of many sequences in pages, and how they are written and gathered.
//
// Row p of sequence s lies in page table[s, p / kPageTokens], at place p % kPageTokens. A page
// belongs to one layer's view of the pool; the same page number names the same tokens in every
// layer.
#pragma once

#include "base/check.h"
#include "kernels/match.h"

namespace glm::kernels {

constexpr std::int64_t kPageTokens = 64;

struct PagedRows {
  TensorView pages;       // [pages, kPageTokens, width] f32 (cpu), bf16 (cuda); rows contiguous
  ConstTensorView table;  // [sequences, pages of the longest] i32, rows contiguous; entries that
                          // no visible position needs may be anything
};

// The tokens of one step: which sequence each belongs to, and where it stands in it. Tokens of one
// sequence follow each other in the order of their positions.
struct StepTokens {
  ConstTensorView sequence;  // [tokens] i32, in [0, sequences)
  ConstTensorView position;  // [tokens] i32, >= 0; a token sees positions 0 .. its own
  // What the host knows without asking the device: position + 1 of no token is larger.
  std::int64_t positions_max = 0;
  // How many sequences these tokens are of; 0: as many as the table has.
  std::int64_t sequences = 0;
};

// page row of token t's position = x[t, :]
//
//   x  [tokens, width]  dtype of the pages   last axis contiguous
struct StoreRows {
  PagedRows rows;
  StepTokens tokens;
  ConstTensorView x;
};

// out[p, :] = row p of `sequence`, columns [0, out width)
//
//   out  [positions, <= width]  dtype of the pages   last axis contiguous
struct GatherRows {
  TensorView out;
  PagedRows rows;
  std::int64_t sequence = 0;
};

inline void check(const PagedRows& a, Dim& width) {
  Dim pages("pages");
  Dim place("tokens of a page", kPageTokens);
  Dim sequences("sequences");
  Dim table_width("pages of the longest");
  match(a.pages, "pages").shape({&pages, &place, &width}).dtype({Dtype::f32, Dtype::bf16});
  match(a.pages, "pages").rows_contiguous();
  match(a.table, "table").shape({&sequences, &table_width}).dtype({Dtype::i32}).rows_contiguous();
}

inline void check(const StepTokens& a, Dim& tokens) {
  match(a.sequence, "sequence").shape({&tokens}).dtype({Dtype::i32}).contiguous();
  match(a.position, "position").shape({&tokens}).dtype({Dtype::i32}).contiguous();
  GLM_CHECK(a.positions_max >= 0);
}

inline void check(const StoreRows& a) {
  Dim width("width");
  Dim tokens("tokens");
  check(a.rows, width);
  check(a.tokens, tokens);
  match(a.x, "x").shape({&tokens, &width}).dtype({a.rows.pages.dtype}).rows_contiguous();
}

inline void check(const GatherRows& a) {
  Dim width("width");
  Dim positions("positions");
  Dim columns("columns");
  check(a.rows, width);
  match(a.out, "out").shape({&positions, &columns}).dtype({a.rows.pages.dtype}).rows_contiguous();
  GLM_CHECK(columns.value() <= width.value());
  GLM_CHECK(a.sequence >= 0 && a.sequence < a.rows.table.size(0));
  GLM_CHECK(positions.value() <= a.rows.table.size(1) * kPageTokens);
}

}  // namespace glm::kernels
