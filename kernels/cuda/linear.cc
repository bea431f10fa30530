// linear, gated_linear and head_linear as products, but for heads that are read the other way.
// Contracts: kernels/ops/<name>.h.
#include "base/check.h"
#include "kernels/cuda/aligned.h"
#include "kernels/cuda/device_weight.h"
#include "kernels/cuda/head_choice.h"
#include "kernels/cuda/head_transposed.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/product.h"

namespace glm::kernels::cuda {

namespace {

Product product_of(const Linear& a, const SplitSums& split) {
  return {.out = a.out.data,
          .x = a.x.data,
          .weight = device_weights(a.weight),
          .bias = a.bias.as<float>(),
          .out_stride = a.out.stride(0),
          .x_stride = a.x.stride(0),
          .rows = a.x.size(0),
          .outputs = a.out.size(1),
          .inputs = a.x.size(1),
          .out_f32 = a.out.dtype == Dtype::f32,
          .split = split};
}

Product product_of(const HeadLinear& a, const SplitSums& split) {
  const WeightView weight = a.weight.row_slice(a.first_row, a.weight.layout.rows - a.first_row);
  return {.out = a.out.data,
          .x = a.x.data,
          .weight = device_weights(weight),
          .out_stride = a.out.stride(0),
          .x_stride = a.x.stride(0),
          .out_group_stride = a.out.stride(1),
          .x_group_stride = a.x.stride(1),
          .weight_rows_per_group = a.head_rows,
          .rows = a.x.size(0),
          .outputs = a.out.size(2),
          .inputs = a.x.size(2),
          .groups = a.x.size(1),
          .split = split};
}

}  // namespace

cudaError_t launch_linear(const Linear& a, std::string_view variant, cudaStream_t stream,
                          const SplitSums& split) {
  GLM_CHECK(a.x.dtype == Dtype::bf16);
  if (a.x.size(0) == 0 || a.out.size(1) == 0) return cudaSuccess;
  const Product product = product_of(a, split);
  return choose_variant(product, variant).launch(product, stream);
}

bool supports_sample_of_head(const Sample& a, const SplitSums& split) {
  if (a.head.x.dtype != Dtype::bf16) return false;
  const Product head = product_of(a.head, split);
  return supports_head_choice(head, a) && choose_variant(head, {}).launch == &launch_flow;
}

cudaError_t launch_sample_of_head(const Sample& a, const SampleWorkspace& space,
                                  const SplitSums& split, cudaStream_t stream) {
  return launch_head_choice(product_of(a.head, split), a, space, stream);
}

bool supports_linears_in_halves(const NormedLinear& a, const SplitSums& split) {
  if (a.norm.out.size(0) == 0) return false;
  const Product first = product_of(a.linear(), split);
  if (!a.rest) return choose_variant(first, {}).launch == &launch_pairs;
  return may_be_joined(first, product_of(a.rest_linear(), split), {}) == &launch_pairs;
}

cudaError_t launch_linears_in_halves(const NormedLinear& a, const RowSquares& squares,
                                     const SplitSums& split, cudaStream_t stream) {
  Product product = product_of(a.linear(), split);
  if (a.rest) product = joined(product, product_of(a.rest_linear(), split));
  product.squares = squares;
  return launch_pairs(product, stream);
}

bool supports_front_in_halves(const MoeLayer& a, const SplitSums& split) {
  const auto in_fours = [](const ConstTensorView& rows) {
    return aligned(rows.data, 8) && rows.stride(0) % 4 == 0;
  };
  const Linear& linear = a.front.projection;
  const RmsNorm& norm = a.front.norm;
  return linear.x.size(0) > 0 && linear.x.size(0) <= kMoeSquaredTokens && !linear.bias &&
         linear.x.dtype == Dtype::bf16 && linear.out.dtype == Dtype::bf16 &&
         linear.out.size(1) % (8 * kSquaredOutputs) == 0 && aligned(linear.out.data) &&
         linear.out.stride(0) % 8 == 0 && norm.out.data != linear.out.data &&
         in_fours(norm.residual) && in_fours(norm.sum) && aligned(norm.weight.data, 8) &&
         choose_variant(product_of(linear, split), {}).launch == &launch_pairs;
}

cudaError_t launch_front_in_halves(const MoeLayer& a, const SplitSums& split, float* squares,
                                   cudaStream_t stream) {
  const RmsNorm& norm = a.front.norm;
  Product product = product_of(a.front.projection, split);
  product.behind = {.residual = norm.residual.data,
                    .weight = norm.weight.data,
                    .weighted = product.out,
                    .squares = squares,
                    .residual_stride = norm.residual.stride(0),
                    .weighted_stride = product.out_stride};
  product.out = norm.sum.data;
  product.out_stride = norm.sum.stride(0);
  return launch_pairs(product, stream);
}

cudaError_t launch_linears(const NormedLinear& a, std::string_view variant, cudaStream_t stream,
                           const SplitSums& split) {
  if (a.norm.out.size(0) > 0 && a.rest) {
    const Product first = product_of(a.linear(), split);
    const Product rest = product_of(a.rest_linear(), split);
    const ProductLaunch launch = may_be_joined(first, rest, variant);
    if (launch != nullptr) return launch(joined(first, rest), stream);
  }
  const cudaError_t code = launch_linear(a.linear(), variant, stream, split);
  if (code != cudaSuccess || !a.rest) return code;
  return launch_linear(a.rest_linear(), variant, stream, split);
}

cudaError_t launch_gated_linear(const GatedLinear& a, std::string_view variant,
                                cudaStream_t stream) {
  GLM_CHECK(a.x.dtype == Dtype::bf16);
  if (a.x.size(0) == 0 || a.out.size(1) == 0) return cudaSuccess;
  const Product product{.out = a.out.data,
                        .x = a.x.data,
                        .weight = device_weights(a.gate),
                        .up = device_weights(a.up),
                        .out_stride = a.out.stride(0),
                        .x_stride = a.x.stride(0),
                        .rows = a.x.size(0),
                        .outputs = a.out.size(1),
                        .inputs = a.x.size(1),
                        .gated = true};
  return choose_variant(product, variant).launch(product, stream);
}

cudaError_t launch_head_linear(const HeadLinear& a, std::string_view variant, cudaStream_t stream,
                               const SplitSums& split) {
  GLM_CHECK(a.x.dtype == Dtype::bf16);
  if (a.x.size(0) == 0 || a.x.size(1) == 0 || a.out.size(2) == 0) return cudaSuccess;
  if (a.order == HeadOrder::transposed) return launch_head_transposed(a, variant, stream);
  const Product product = product_of(a, split);
  return choose_variant(product, variant).launch(product, stream);
}

}  // namespace glm::kernels::cuda
