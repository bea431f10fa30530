#include "kernels/cpu/rows_linear.h"

#include <algorithm>
#include <array>
#include <vector>

#include "kernels/cpu/decode.h"
#include "kernels/cpu/vector_loops.h"

namespace glm::kernels::cpu {
namespace {

constexpr std::int64_t kRowsAtOnce = 8;  // decoded rows stay in the second-level cache

}  // namespace

float* scratch(Scratch slot, std::int64_t count) {
  thread_local std::array<std::vector<float>, static_cast<std::size_t>(Scratch::count)> slots;
  std::vector<float>& memory = slots[static_cast<std::size_t>(slot)];
  if (static_cast<std::int64_t>(memory.size()) < count) {
    memory.resize(static_cast<std::size_t>(count));
  }
  return memory.data();
}

void rows_linear(const RowsLinear& a) {
  const std::int64_t dim = a.weight.layout.cols;
  const bool plain = a.weight.layout.format == WeightFormat::f32;
  float* decoded = plain ? nullptr : scratch(Scratch::weight_rows, kRowsAtOnce * dim);
  for (std::int64_t row = a.first_row; row < a.end_row; row += kRowsAtOnce) {
    const std::int64_t rows = std::min(kRowsAtOnce, a.end_row - row);
    const float* w = decoded;
    if (plain) {
      w = static_cast<const float*>(a.weight.data) + row * dim;
    } else {
      for (std::int64_t r = 0; r < rows; ++r) decode_row(a.weight, row + r, decoded + r * dim);
    }
    dot_block({.w = w,
               .w_stride = dim,
               .rows = rows,
               .x = a.x,
               .x_stride = a.x_stride,
               .tokens = a.tokens,
               .out = a.out + row,
               .out_stride = a.out_stride,
               .dim = dim});
  }
}

}  // namespace glm::kernels::cpu
