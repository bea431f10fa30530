// Cached rows of many sequences in pages, and how they are written and gathered.
//
// Row p of sequence s lies in page table[s, p / kPageTokens], at place p % kPageTokens. A page
// belongs to one layer's view of the pool; the same page number names the same tokens in every
// layer.
#pragma once

#include "base/check.h"
#include "kernels/kv_format.h"
#include "kernels/match.h"

namespace glm::kernels {

constexpr std::int64_t kPageTokens = 64;

struct PagedRows {
  // Plain: [pages, kPageTokens, width] f32 (cpu), bf16 (cuda); rows contiguous. Otherwise
  // [pages, kPageTokens, bytes of a record] u8, every record at a multiple of 16 bytes.
  TensorView pages;
  ConstTensorView table;  // [sequences, pages of the longest] i32, rows contiguous; entries that
                          // no visible position needs may be anything
  // KvFormat::fp8_latent: the first so many values of a row are its latent. 0: plain.
  std::int64_t fp8_latent = 0;

  bool plain() const { return fp8_latent == 0; }
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

// page row of token t's position = x[t, :], rounded as kv_format.h says unless pages are plain
//
//   x  [tokens, width]  f32 (cpu), bf16 (cuda)   last axis contiguous
struct StoreRows {
  PagedRows rows;
  StepTokens tokens;
  ConstTensorView x;
};

// out[p, :] = row p of `sequence`, columns [0, out width), rounded to the dtype of out
//
//   out  [positions, <= width]  f32 (cpu), bf16 (cuda)   last axis contiguous
struct GatherRows {
  TensorView out;
  PagedRows rows;
  std::int64_t sequence = 0;
};

// Rows of `width` values, or, where nobody says how many they are, of at least so many.
enum class RowWidth { exact, at_least };
inline void check(const PagedRows& a, std::int64_t width, RowWidth meaning = RowWidth::exact) {
  Dim pages("pages");
  Dim place("tokens of a page", kPageTokens);
  Dim row("width of a row");
  Dim sequences("sequences");
  Dim table_width("pages of the longest");
  match(a.pages, "pages").shape({&pages, &place, &row}).rows_contiguous();
  match(a.table, "table").shape({&sequences, &table_width}).dtype({Dtype::i32}).rows_contiguous();
  std::int64_t wanted = width;
  if (a.plain()) {
    match(a.pages, "pages").dtype({Dtype::f32, Dtype::bf16});
  } else {
    match(a.pages, "pages").dtype({Dtype::u8}).aligned(LatentRecord::kAlignment);
    GLM_CHECK(a.pages.stride(0) % LatentRecord::kAlignment == 0);
    GLM_CHECK(a.pages.stride(1) % LatentRecord::kAlignment == 0);
    GLM_CHECK(meaning == RowWidth::at_least || a.fp8_latent <= width);
    const std::int64_t rope = width > a.fp8_latent ? width - a.fp8_latent : 0;
    wanted = LatentRecord{.latent = a.fp8_latent, .rope = rope}.size_bytes();
  }
  GLM_CHECK(meaning == RowWidth::exact ? row.value() == wanted : row.value() >= wanted);
}

// What goes into pages or comes out of them has the dtype of plain ones.
inline void check_dtype(const PagedRows& a, const ConstTensorView& values, std::string_view name) {
  if (a.plain()) match(values, name).dtype({a.pages.dtype});
  match(values, name).dtype({Dtype::f32, Dtype::bf16});
}

inline void check(const StepTokens& a, Dim& tokens) {
  match(a.sequence, "sequence").shape({&tokens}).dtype({Dtype::i32}).contiguous();
  match(a.position, "position").shape({&tokens}).dtype({Dtype::i32}).contiguous();
  GLM_CHECK(a.positions_max >= 0);
}

inline void check(const StoreRows& a) {
  Dim width("width");
  Dim tokens("tokens");
  check(a.tokens, tokens);
  match(a.x, "x").shape({&tokens, &width}).rows_contiguous();
  check(a.rows, width.value());
  check_dtype(a.rows, a.x, "x");
}

inline void check(const GatherRows& a) {
  Dim positions("positions");
  Dim columns("columns");
  match(a.out, "out").shape({&positions, &columns}).rows_contiguous();
  check(a.rows, columns.value(), RowWidth::at_least);
  check_dtype(a.rows, a.out, "out");
  GLM_CHECK(a.sequence >= 0 && a.sequence < a.rows.table.size(0));
  GLM_CHECK(positions.value() <= a.rows.table.size(1) * kPageTokens);
}

}  // namespace glm::kernels
