#include <algorithm>
#include <cmath>

#include "kernels/cpu/decode.h"
#include "kernels/cpu/ops.h"
#include "kernels/cpu/rows_linear.h"
#include "kernels/cpu/vector_loops.h"

namespace glm::kernels::cpu {

void linear(ThreadPool& pool, const Linear& a) {
  check(a);
  GLM_CHECK(a.x.dtype == Dtype::f32);
  const std::int64_t tokens = a.x.size(0);
  const std::int64_t outputs = a.out.size(1);
  if (tokens == 0) return;
  auto* out = a.out.as<float>();
  const auto* bias = a.bias.as<float>();
  pool.for_ranges(outputs, 32, tokens * outputs * a.x.size(1),
                  [&](std::int64_t first, std::int64_t end) {
                    rows_linear({.weight = a.weight,
                                 .first_row = first,
                                 .end_row = end,
                                 .x = a.x.as<float>(),
                                 .x_stride = a.x.stride(0),
                                 .tokens = tokens,
                                 .out = out,
                                 .out_stride = a.out.stride(0)});
                    if (bias == nullptr) return;
                    for (std::int64_t t = 0; t < tokens; ++t) {
                      float* row = out + t * a.out.stride(0);
                      for (std::int64_t o = first; o < end; ++o) row[o] += bias[o];
                    }
                  });
}

void gated_linear(ThreadPool& pool, const GatedLinear& a) {
  check(a);
  GLM_CHECK(a.x.dtype == Dtype::f32);
  const std::int64_t tokens = a.x.size(0);
  const std::int64_t outputs = a.out.size(1);
  if (tokens == 0) return;
  pool.for_ranges(outputs, 32, 2 * tokens * outputs * a.x.size(1),
                  [&](std::int64_t first, std::int64_t end) {
                    const std::int64_t width = end - first;
                    float* up = scratch(Scratch::up, tokens * width);
                    RowsLinear part{.weight = a.gate,
                                    .first_row = first,
                                    .end_row = end,
                                    .x = a.x.as<float>(),
                                    .x_stride = a.x.stride(0),
                                    .tokens = tokens,
                                    .out = a.out.as<float>(),
                                    .out_stride = a.out.stride(0)};
                    rows_linear(part);
                    part.weight = a.up.row_slice(first, width);
                    part.first_row = 0;
                    part.end_row = width;
                    part.out = up;
                    part.out_stride = width;
                    rows_linear(part);
                    for (std::int64_t t = 0; t < tokens; ++t) {
                      float* out = a.out.as<float>() + t * a.out.stride(0) + first;
                      for (std::int64_t o = 0; o < width; ++o) {
                        out[o] = out[o] / (1.0F + std::exp(-out[o])) * up[t * width + o];
                      }
                    }
                  });
}

namespace {

void head_as_stored(const HeadLinear& a, std::int64_t head) {
  rows_linear({.weight = a.of_head(head),
               .first_row = 0,
               .end_row = a.rows(),
               .x = a.x.as<float>() + head * a.x.stride(1),
               .x_stride = a.x.stride(0),
               .tokens = a.x.size(0),
               .out = a.out.as<float>() + head * a.out.stride(1),
               .out_stride = a.out.stride(0)});
}

// Rows are decoded a few at a time and added with their factors.
void head_transposed(const HeadLinear& a, std::int64_t head) {
  constexpr std::int64_t kRowsAtOnce = 8;
  const WeightView weight = a.of_head(head);
  const std::int64_t cols = weight.layout.cols;
  float* decoded = scratch(Scratch::weight_rows, kRowsAtOnce * cols);
  for (std::int64_t row = 0; row < a.rows(); row += kRowsAtOnce) {
    const std::int64_t rows = std::min(kRowsAtOnce, a.rows() - row);
    for (std::int64_t r = 0; r < rows; ++r) decode_row(weight, row + r, decoded + r * cols);
    weighted_sum({.p = a.x.as<float>() + head * a.x.stride(1) + row,
                  .p_stride = a.x.stride(0),
                  .v = decoded,
                  .v_stride = cols,
                  .out = a.out.as<float>() + head * a.out.stride(1),
                  .out_stride = a.out.stride(0),
                  .tokens = a.x.size(0),
                  .count = rows,
                  .dim = cols,
                  .add = row > 0});
  }
}

}  // namespace

void head_linear(ThreadPool& pool, const HeadLinear& a) {
  check(a);
  GLM_CHECK(a.x.dtype == Dtype::f32);
  const std::int64_t tokens = a.x.size(0);
  const std::int64_t heads = a.x.size(1);
  if (tokens == 0) return;
  pool.for_ranges(heads, 1, tokens * heads * a.out.size(2) * a.x.size(2),
                  [&](std::int64_t first, std::int64_t end) {
                    for (std::int64_t head = first; head < end; ++head) {
                      if (a.order == HeadOrder::as_stored) {
                        head_as_stored(a, head);
                      } else {
                        head_transposed(a, head);
                      }
                    }
                  });
}

}  // namespace glm::kernels::cpu
