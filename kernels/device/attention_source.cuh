// Where attention finds the keys and values of a position, and how far a token sees: the difference
// between its forms. A source has
//
//   sequence(token), visible(token)   the token sees positions 0 .. visible - 1 of its sequence
//   place(sequence, position)         a handle; places of one page follow each other
//   key_at(place, row, kv_head, column), value_at(…)
//                                     numbers `row` positions after the place, within its page
//
// and where pages are plain
//
//   key(place, kv_head, column), value(…)   their addresses; 8 columns from a multiple of 8 are
//                                     contiguous where the host has checked alignment
//   key_stride(column), value_stride()  from position to position
#pragma once

#include "kernels/device/latent_record.cuh"
#include "kernels/device/numbers.cuh"
#include "kernels/device/paged_rows.cuh"

namespace glm::kernels::device {

// A row of the cache holds the keys of all kv heads, and somewhere (maybe inside the key) values.
struct PagedSource {
  PagedRows<> rows;
  const std::int32_t* sequences;
  const std::int32_t* positions;
  int key_dim;
  int value_dim;
  int value_offset;  // of the first kv head's value in the row

  using Place = const __nv_bfloat16*;

  __device__ int sequence(int token) const { return sequences[token]; }
  __device__ int visible(int token) const { return positions[token] + 1; }
  __device__ Place place(int sequence, int position) const { return rows.row(sequence, position); }
  __device__ const __nv_bfloat16* key(Place place, int kv_head, int column) const {
    return place + kv_head * key_dim + column;
  }
  __device__ const __nv_bfloat16* value(Place place, int kv_head, int column) const {
    return place + value_offset + kv_head * value_dim + column;
  }
  __device__ std::int64_t key_stride(int /*column*/) const { return rows.place_stride; }
  __device__ std::int64_t value_stride() const { return rows.place_stride; }
  __device__ float key_at(Place place, int row, int kv_head, int column) const {
    return load(key(place, kv_head, column) + row * rows.place_stride);
  }
  __device__ float value_at(Place place, int row, int kv_head, int column) const {
    return load(value(place, kv_head, column) + row * rows.place_stride);
  }
};

// Pages of fp8 latents: one head, whose key is the whole row and whose value its beginning.
struct LatentSource {
  PagedRows<std::uint8_t> rows;
  LatentRecord layout;
  const std::int32_t* sequences;
  const std::int32_t* positions;

  using Place = const std::uint8_t*;

  __device__ int sequence(int token) const { return sequences[token]; }
  __device__ int visible(int token) const { return positions[token] + 1; }
  __device__ Place place(int sequence, int position) const { return rows.row(sequence, position); }
  __device__ float key_at(Place place, int row, int /*kv_head*/, int column) const {
    return layout.value(place + row * rows.place_stride, column);
  }
  __device__ float value_at(Place place, int row, int kv_head, int column) const {
    return key_at(place, row, kv_head, column);
  }
};

// Keys and values of one sequence, whose last tokens these are; a key's last columns are shared by
// all heads.
struct ExpandedSource {
  const __nv_bfloat16* k;
  const __nv_bfloat16* k_rope;
  const __nv_bfloat16* v;
  std::int64_t k_position, k_head;  // strides
  std::int64_t k_rope_position;
  std::int64_t v_position, v_head;
  int nope;
  int first;  // position of token 0

  using Place = std::int64_t;

  __device__ int sequence(int /*token*/) const { return 0; }
  __device__ int visible(int token) const { return first + token + 1; }
  __device__ Place place(int /*sequence*/, int position) const { return position; }
  __device__ const __nv_bfloat16* key(Place place, int head, int column) const {
    if (column >= nope) return k_rope + place * k_rope_position + (column - nope);
    return k + place * k_position + head * k_head + column;
  }
  __device__ const __nv_bfloat16* value(Place place, int head, int column) const {
    return v + place * v_position + head * v_head + column;
  }
  __device__ std::int64_t key_stride(int column) const {
    return column >= nope ? k_rope_position : k_position;
  }
  __device__ std::int64_t value_stride() const { return v_position; }
  __device__ float key_at(Place place, int row, int head, int column) const {
    return load(key(place, head, column) + row * key_stride(column));
  }
  __device__ float value_at(Place place, int row, int head, int column) const {
    return load(value(place, head, column) + row * v_position);
  }
};

// Queries and results: row r of a kv head's block of rows is token r / group, head r % group of the
// group, so that rows of one token are neighbours.
struct AttentionHeads {
  __nv_bfloat16* out;
  const __nv_bfloat16* q;
  std::int64_t out_token, out_head;  // strides
  std::int64_t q_token, q_head;
  int tokens;
  int heads;
  int group;         // query heads per kv head
  float scale_log2;  // scale * log2(e): softmax is computed with powers of two

  __device__ const __nv_bfloat16* query(int token, int head) const {
    return q + token * q_token + head * q_head;
  }
  __device__ __nv_bfloat16* result(int token, int head) const {
    return out + token * out_token + head * out_head;
  }
};

}  // namespace glm::kernels::device
