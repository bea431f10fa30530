#include "kernels/cuda/wgmma_maps.h"

#include "kernels/cuda/tensor_map.h"

namespace glm::kernels::cuda {
namespace {

// Experts have weights of their own, heads consecutive rows of one.
struct Matrices {
  std::int64_t rows;
  std::int64_t count;
};
Matrices matrices_of(const Product& a) {
  if (a.row_group != nullptr) return {.rows = a.outputs, .count = a.groups};
  return {.rows = (a.groups - 1) * a.weight_rows_per_group + a.outputs, .count = 1};
}

cudaError_t map_weights(const Product& a, const device::Weights& from, const WgmmaPlan& plan,
                        const WgmmaStage& stage, CUtensorMap& map) {
  const Matrices matrices = matrices_of(a);
  const auto element = static_cast<std::int64_t>(stage.element_bytes);
  const std::int64_t row_bytes = from.first.row_bytes;
  const std::int64_t bytes = matrices.count > 1 ? from.data_bytes : matrices.rows * row_bytes;
  if (plan.sliced) {
    constexpr std::int64_t kRows = kWgmmaSliceRows;
    return make_tensor_map(find_encode_tensor_map(),
                           {.data = from.first.data,
                            .columns = row_bytes / element,
                            .middle = kRows,
                            .outer = matrices.count * matrices.rows / kRows,
                            .middle_stride = row_bytes / element,
                            .outer_stride = kRows * row_bytes / element,
                            .bytes = element == 1,
                            .box_columns = stage.row_bytes / stage.element_bytes,
                            .box_middle = 8,
                            .box_outer = 4},
                           map);
  }
  return make_tensor_map(find_encode_tensor_map(),
                         {.data = from.first.data,
                          .columns = row_bytes / element,
                          .middle = matrices.rows,
                          .outer = matrices.count,
                          .middle_stride = row_bytes / element,
                          .outer_stride = bytes / element,
                          .bytes = element == 1,
                          .box_columns = stage.row_bytes / stage.element_bytes,
                          .box_middle = static_cast<unsigned>(plan.groups * kWgmmaGroupRows / 2)},
                         map);
}

// Those of two stages together. Bytes.
cudaError_t map_scales(const Product& a, const device::Weights& from, const WgmmaPlan& plan,
                       CUtensorMap& map) {
  const std::int64_t row_bytes = a.inputs / kWgmmaScaledColumns * kWgmmaCopiedBytes;
  return make_tensor_map(find_encode_tensor_map(),
                         {.data = from.first.scales,
                          .columns = row_bytes,
                          .middle = a.outputs,
                          .outer = a.groups,
                          .middle_stride = row_bytes,
                          .outer_stride = from.scales_bytes,
                          .bytes = true,
                          .box_columns = 2 * kWgmmaCopiedBytes,
                          .box_middle = static_cast<unsigned>(plan.groups * kWgmmaGroupRows / 2)},
                         map);
}

cudaError_t map_activations(const Product& a, unsigned box_rows, CUtensorMap& map) {
  const std::int64_t groups = a.row_group != nullptr ? 1 : a.groups;
  return make_tensor_map(find_encode_tensor_map(),
                         {.data = a.x,
                          .columns = a.inputs,
                          .middle = a.rows,
                          .outer = groups,
                          .middle_stride = a.x_stride,
                          .outer_stride = groups > 1 ? a.x_group_stride : a.rows * a.x_stride,
                          .box_middle = box_rows},
                         map);
}

}  // namespace

bool has_tensor_maps() {
  return find_encode_tensor_map() != nullptr;
}

cudaError_t make_wgmma_maps(const Product& a, const WgmmaPlan& plan, const WgmmaStage& stage,
                            WgmmaMaps& maps) {
  if (find_encode_tensor_map() == nullptr) return cudaErrorNotSupported;
  const device::Weights& up = a.gated ? a.up : a.weight;
  cudaError_t code = map_activations(a, static_cast<unsigned>(plan.box_rows), maps.x);
  if (code == cudaSuccess && plan.fewest_rows > 0) {
    code = map_activations(a, static_cast<unsigned>(plan.fewest_rows), maps.fewest_x);
  }
  if (code == cudaSuccess) code = map_weights(a, a.weight, plan, stage, maps.weight);
  if (code == cudaSuccess) code = map_weights(a, up, plan, stage, maps.up);
  if (!stage.copied) return code;
  if (code == cudaSuccess) code = map_scales(a, a.weight, plan, maps.scales);
  return code == cudaSuccess ? map_scales(a, up, plan, maps.up_scales) : code;
}

}  // namespace glm::kernels::cuda
