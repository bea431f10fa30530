// Where the wgmma variant of attention gets keys and values of a tile: blocks of 64 columns and 64
// positions, copied by tensor maps. Otherwise as attention_source.cuh.
#pragma once

#include "kernels/device/attention_source.cuh"
#include "kernels/device/tensor_copy.cuh"

namespace glm::kernels::device {

constexpr int kFlashBlock = 64;  // columns, and positions
constexpr unsigned kFlashBlockBytes = kFlashBlock * kFlashBlock * 2;

// Pages: axes column, place, page.
struct FlashPages {
  PagedSource source;
  CUtensorMap rows;

  // Positions past the last visible one may hold anything.
  static constexpr bool kClean = false;

  __device__ int sequence(int token) const { return source.sequence(token); }
  __device__ int visible(int token) const { return source.visible(token); }
  // A handle of a block of positions.
  __device__ int place(int sequence, int position) const {
    return source.rows.table[sequence * source.rows.table_stride + position / kRowsOfPage];
  }
  __device__ void copy_keys(std::uint32_t shared, int place, int kv_head, int column,
                            std::uint32_t barrier) const {
    copy_box(shared, rows, {kv_head * source.key_dim + column, 0, place}, barrier);
  }
  __device__ void copy_values(std::uint32_t shared, int place, int kv_head, int column,
                              std::uint32_t barrier) const {
    copy_box(shared, rows, {source.value_offset + kv_head * source.value_dim + column, 0, place},
             barrier);
  }
};
static_assert(kFlashBlock == kRowsOfPage);

// Matrices of one sequence: axes column, head, position.
struct FlashExpanded {
  CUtensorMap k;
  CUtensorMap k_rope;  // one head
  CUtensorMap v;
  int nope;   // a multiple of 64
  int first;  // position of token 0

  static constexpr bool kClean = true;

  __device__ int sequence(int /*token*/) const { return 0; }
  __device__ int visible(int token) const { return first + token + 1; }
  __device__ int place(int /*sequence*/, int position) const { return position; }
  __device__ void copy_keys(std::uint32_t shared, int place, int head, int column,
                            std::uint32_t barrier) const {
    if (column < nope) {
      copy_box(shared, k, {column, head, place}, barrier);
    } else {
      copy_box(shared, k_rope, {column - nope, 0, place}, barrier);
    }
  }
  __device__ void copy_values(std::uint32_t shared, int place, int head, int column,
                              std::uint32_t barrier) const {
    copy_box(shared, v, {column, head, place}, barrier);
  }
};

}  // namespace glm::kernels::device
