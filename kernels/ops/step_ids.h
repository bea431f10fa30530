// The ids of a step's tokens, and the pages that keep the ids of all tokens of a sequence. They are
// paged as cached rows are (paged_rows.h), with the same page table: what a sequence has said so
// far can be read where the next token is chosen, and a token that was chosen there is fed back
// without the host's knowing it.
//
//   cell of token t  = the place of (sequence[t], position[t])
//   given[t] >= 0:   cell = given[t],  ids[t] = given[t]
//   given[t] == -1:  ids[t] = cell     (chosen by the step before: see ops/sample.h)
//
//   ids, given  [tokens]              i32   contiguous; must not overlap
//   pages       [pages, kPageTokens]  i32   contiguous
//   rows        [tokens, dim]               unless empty: embedding (embedding.h) of the ids, from
//   table       rows x dim
//   began_ns                                unless null: timestamp (timestamp.h), before all that
//
// Bounds   tokens >= 0 (0 does nothing). A cell that is read must have been written.
#pragma once

#include "kernels/match.h"
#include "kernels/ops/embedding.h"
#include "kernels/ops/paged_rows.h"

namespace glm::kernels {

struct PagedIds {
  TensorView pages;
  ConstTensorView table;  // as PagedRows::table
};

struct StepIds {
  TensorView ids;
  PagedIds history;
  StepTokens tokens;
  ConstTensorView given;
  TensorView rows = {};
  WeightView table = {};
  std::uint64_t* began_ns = nullptr;

  Embedding embedding() const { return {.out = rows, .ids = ids, .table = table}; }
};

inline void check(const PagedIds& a) {
  Dim pages("pages");
  Dim place("tokens of a page", kPageTokens);
  Dim sequences("sequences");
  Dim table_width("pages of the longest");
  match(a.pages, "id pages").shape({&pages, &place}).dtype({Dtype::i32}).contiguous();
  match(a.table, "table").shape({&sequences, &table_width}).dtype({Dtype::i32}).rows_contiguous();
}

inline void check(const StepIds& a) {
  Dim tokens("tokens");
  check(a.history);
  check(a.tokens, tokens);
  match(a.ids, "ids").shape({&tokens}).dtype({Dtype::i32}).contiguous();
  match(a.given, "given").shape({&tokens}).dtype({Dtype::i32}).contiguous();
  if (a.rows) check(a.embedding());
}

}  // namespace glm::kernels
