#include "kernels/cuda/flow_plan.h"

#include <algorithm>

#include "kernels/cuda/tensor_map.h"

namespace glm::kernels::cuda {
namespace {

constexpr unsigned kBarrierBytes = 256;
constexpr int kStagesMax = kBarrierBytes / (2 * sizeof(std::uint64_t));
constexpr int kLeastRest = 64;      // rows of weights; below that, columns are cut instead
constexpr int kLeastColumns = 512;  // of a part

int up_to(int number, int multiple) {
  return (number + multiple - 1) / multiple * multiple;
}
int divided_up(std::int64_t number, std::int64_t by) {
  return static_cast<int>((number + by - 1) / by);
}

int rows_per_output(const Product& a) {
  return a.gated ? 2 : 1;
}

// Four axes, the first of them a stage's columns in a box.
struct Axes {
  bool bytes;
  cuuint64_t sizes[4];
  cuuint64_t strides[3];  // bytes
  cuuint32_t box[4];
};

cudaError_t encode(const void* data, const Axes& axes, CUtensorMap& map) {
  const cuuint32_t steps[] = {1, 1, 1, 1};
  const CUtensorMapDataType type =
      axes.bytes ? CU_TENSOR_MAP_DATA_TYPE_UINT8 : CU_TENSOR_MAP_DATA_TYPE_BFLOAT16;
  const CUresult code = find_encode_tensor_map()(
      &map, type, 4, const_cast<void*>(data), axes.sizes, axes.strides, axes.box, steps,
      CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_128B,
      CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  return code == CUDA_SUCCESS ? cudaSuccess : cudaErrorInvalidValue;
}

cudaError_t map_weights(const Product& a, const FlowPlan& plan, int weight_rows, CUtensorMap& map) {
  const device::Weight& w = a.weight.first;
  const auto columns = static_cast<cuuint64_t>(a.inputs);
  const auto outputs = static_cast<cuuint64_t>(a.outputs);
  const auto row = static_cast<cuuint64_t>(w.row_bytes);
  const auto box_rows = static_cast<cuuint32_t>(weight_rows);
  const auto depth = static_cast<cuuint32_t>(flow_depth(w));
  const bool bytes = w.coding != device::Coding::bf16;
  if (!a.gated) {
    return encode(w.data,
                  {.bytes = bytes,
                   .sizes = {columns, outputs, 1, 1},
                   .strides = {row, outputs * row, outputs * row},
                   .box = {depth, box_rows, 1, 1}},
                  map);
  }
  const std::uint8_t* gate = w.data;
  const std::uint8_t* up = a.up.first.data;
  const auto between = static_cast<cuuint64_t>(plan.up_first ? gate - up : up - gate);
  return encode(plan.up_first ? up : gate,
                {.bytes = bytes,
                 .sizes = {columns, 8, 2, outputs / 8},
                 .strides = {row, between, 8 * row},
                 .box = {depth, 8, 2, box_rows / kFlowGatedRows}},
                map);
}

}  // namespace

FlowPlan flow_plan(const Product& a, int rows, const BulkLimits& limits) {
  const int per_output = rows_per_output(a);
  const int multiple = a.gated ? kFlowGatedRows : 8;
  const int most = limits.multiprocessors;
  FlowPlan plan = {};
  const int depth = flow_depth(a.weight.first);
  plan.steps = divided_up(a.inputs, depth);
  plan.parts = 1;
  plan.whole_outputs = kFlowTileRows / per_output;
  plan.whole_tiles = static_cast<int>(a.outputs / (std::int64_t{most} * plan.whole_outputs));
  plan.rest_first = plan.whole_tiles * most * plan.whole_outputs;
  const int rest = static_cast<int>(a.outputs) - plan.rest_first;
  plan.rest_rows = std::max(up_to(divided_up(rest, most) * per_output, multiple), multiple);
  plan.blocks = plan.whole_tiles > 0 ? most : 0;
  // Blocks with parts of the same sums wait for each other.
  const bool takes_parts = a.split.blocks > 0 && limits.alone && !a.gated;
  if (plan.whole_tiles == 0 && plan.rest_rows < kLeastRest && takes_parts) {
    const int tiles = divided_up(a.outputs, kFlowPartRows);
    plan.parts = std::clamp(std::min(a.split.blocks, most) / tiles, 1,
                            std::max(static_cast<int>(a.inputs) / kLeastColumns, 1));
    if (plan.parts > 1) plan.rest_rows = kFlowPartRows;
  }
  plan.rest_outputs = plan.rest_rows / per_output;
  plan.rest_blocks = divided_up(rest, plan.rest_outputs) * plan.parts;
  plan.blocks = std::max(plan.blocks, plan.rest_blocks);
  plan.up_first = a.gated && a.up.first.data < a.weight.first.data;

  const int highest = plan.whole_tiles > 0 ? kFlowTileRows : plan.rest_rows;
  const unsigned rows_bytes = static_cast<unsigned>(rows * depth) * 2;
  plan.rows_at = static_cast<unsigned>(highest) * kFlowRowBytes;
  plan.stage = plan.rows_at + rows_bytes;
  // What the last warpgroup reads beyond a tile, and nobody stores.
  const unsigned read = static_cast<unsigned>(up_to(highest, kFlowGroupRows)) * kFlowRowBytes;
  const unsigned beyond = read > plan.stage ? read - plan.stage : 0;
  const unsigned behind = std::max(beyond, kBarrierBytes);
  const unsigned room = limits.shared_bytes - kFlowAlignment - behind;
  plan.stages = std::min(static_cast<int>(room / plan.stage), kStagesMax);
  plan.barriers_at = static_cast<unsigned>(plan.stages) * plan.stage;
  plan.total = kFlowAlignment + plan.barriers_at + behind;
  return plan;
}

cudaError_t make_flow_maps(const Product& a, const FlowPlan& plan, int rows, FlowMaps& maps) {
  cudaError_t code = map_weights(a, plan, kFlowTileRows, maps.whole);
  if (code == cudaSuccess) code = map_weights(a, plan, plan.rest_rows, maps.rest);
  if (code != cudaSuccess) return code;
  return make_tensor_map(find_encode_tensor_map(),
                         {.data = a.x,
                          .columns = a.inputs,
                          .middle = a.rows,
                          .outer = 1,
                          .middle_stride = a.x_stride,
                          .outer_stride = a.x_stride,
                          .box_middle = static_cast<unsigned>(rows)},
                         maps.rows);
}

bool flows(const device::Weight& w) {
  if (w.row_bytes % 16 != 0) return false;
  if (w.coding == device::Coding::bf16) return true;
  const int depth = flow_depth(w);
  return is_fast_fp8(w) && w.cols % depth == 0 && (w.groups == 1 || w.group % depth == 0);
}

int flow_depth(const device::Weight& w) {
  return w.coding == device::Coding::bf16 ? kFlowDepth : 2 * kFlowDepth;
}

bool supports_flow(const Product& a) {
  const device::Weight& w = a.weight.first;
  const device::Weight& up = a.up.first;
  return a.row_group == nullptr && a.groups == 1 && a.x_divisor == 1 && a.rows <= kFlowRowsMax &&
         a.outputs <= INT32_MAX / 4 && fits_tensor_cores(a) && flows(w) &&
         (!a.gated || (flows(up) && up.coding == w.coding && up.row_bytes == w.row_bytes &&
                       a.outputs % (kFlowGatedRows / 2) == 0)) &&
         takes_warpgroups();
}

}  // namespace glm::kernels::cuda
