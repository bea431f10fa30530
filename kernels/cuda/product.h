// The matrix product that linear, gated_linear, head_linear and both halves of moe_mlp are made of,
// and the variants that compute it.
//
//   y[r, o]   = sum over i of x[r / x_divisor, i] * weight_g[o, i],  g the group of row r
//   out[r, o] = factor[r] * y[r, o] + bias[o], or silu(y[r, o]) * (the same with `up`) when gated
//
// Groups are the heads of head_linear, where every group has all rows, or the experts of moe_mlp,
// where a row belongs to one group.
//
// The result of a row depends on the variant that computes it, and in "pairs" on whether there are
// more than 32 of them, never on the other rows.
//
// Weights are read before the kernels in front of a product in its stream have ended; they must
// have been complete before the last two of those began.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <string_view>

#include "kernels/device/weight.h"

namespace glm::kernels::cuda {

// Consecutive entries of Product::sorted that belong to one group.
struct RowTile {
  std::int32_t group = 0;
  std::int32_t first = 0;
  std::int32_t count = 0;
};

// Where blocks that share out columns leave sums for each other. Products that run at the same time
// need memory of their own.
struct SplitSums {
  float* sums = nullptr;            // [blocks, kSplitBlockSums]
  std::uint32_t* counts = nullptr;  // [blocks], all zero between launches
  void* awaited = nullptr;          // as sums, numbers of device/awaited.cuh that have not come
  int blocks = 0;                   // none: columns are not shared out
};
constexpr int kSplitBlockSums = 128 * 64;
constexpr int kSplitOutputs = 64;  // of a block

// A norm (kernels/ops/rms_norm.h) in halves: one kernel writes rows times the norm's weight, and
// sums of squares of what they were before that, in parts; what the next makes of a row, by
// products that are linear, is divided by the root of their mean.
struct RowSquares {
  const float* sums = nullptr;  // [rows, parts]; null: rows are as they are to be
  int parts = 0;
  float eps = 0;
};
// The first half, of results to which a residual is added: the sum is what is stored as they are.
struct NormBehind {
  const void* residual = nullptr;  // bf16 [rows, outputs]; null: there is no such norm
  const void* weight = nullptr;    // bf16 [outputs]
  void* weighted = nullptr;        // bf16 [rows, outputs]
  float* squares = nullptr;        // [rows, outputs / kSquaredOutputs]
  std::int64_t residual_stride = 0;
  std::int64_t weighted_stride = 0;
};
constexpr int kSquaredOutputs = 64;

struct Product {
  void* out = nullptr;      // bf16 or f32
  const void* x = nullptr;  // bf16
  device::Weights weight = {};
  device::Weights up = {};
  const float* bias = nullptr;
  const float* factor = nullptr;
  std::int64_t out_stride = 0;  // elements from row to row
  std::int64_t x_stride = 0;
  std::int64_t out_group_stride = 0;
  std::int64_t x_group_stride = 0;
  std::int64_t weight_rows_per_group = 0;  // heads share one weight, experts have their own
  std::int64_t rows = 0;
  std::int64_t outputs = 0;
  std::int64_t inputs = 0;
  std::int64_t groups = 1;
  std::int64_t x_divisor = 1;
  bool out_f32 = false;
  bool gated = false;
  // Outputs from this one on are those of `up`; 0: none. For the variants "stream", "pairs"
  // and "held" alone.
  std::int64_t joined_at = 0;
  SplitSums split = {};
  // For the variant "pairs" alone; the squares in four parts.
  RowSquares squares = {};
  NormBehind behind = {};

  // Rows with groups of their own.
  const std::int32_t* row_group = nullptr;  // [rows]
  // row_group was complete before the kernel in front of this product in its stream began.
  bool row_group_early = false;
  const std::int32_t* sorted = nullptr;  // [rows] rows in the order of groups
  const RowTile* tiles = nullptr;        // [tiles_max], of which *tile_count are real
  const std::int32_t* tile_count = nullptr;
  std::int64_t tiles_max = 0;
  // Rows of x, or of the results, are in the order of `sorted` themselves.
  bool x_sorted = false;
  bool out_sorted = false;
  // Columns of x, or of gated results, are in the order of device/dealt_columns.cuh: where and only
  // where wants_dealt() says so of who reads them. For the variant "wgmma" alone.
  bool x_dealt = false;
  bool out_dealt = false;
};

using ProductLaunch = cudaError_t (*)(const Product& a, cudaStream_t stream);

// Rows a tile may have in a variant; 0 where a variant wants no tiles.
struct ProductVariant {
  std::string_view name;
  std::int64_t (*tile_rows)(const Product& a);
  bool (*supports)(const Product& a);
  bool (*prefers)(const Product& a);  // among those that support it; the first that does is taken
  ProductLaunch launch;
};

// `forced` names a variant; one that does not support the product gives way to the naive one.
const ProductVariant& choose_variant(const Product& a, std::string_view forced);

// Tensor cores read x and weights sixteen bytes at a time.
bool fits_tensor_cores(const Product& a);
// int4 with bf16 scales and groups of 32, 64, 128, …, dequantized in registers. "wgmma" takes zeros
// up to 16, and scales from 2^-102 to 2^18.
bool is_fast_int4(const Product& a);
bool is_fast_int4(const device::Weight& w);
// The same with scales in f16.
bool is_half_int4(const Product& a);
bool is_half_int4(const device::Weight& w);
// nvfp4 or mxfp4, likewise.
bool is_fast_fp4(const Product& a);
bool is_fast_fp4(const device::Weight& w);

// e4m3 with scales in f32 or bf16 for whole sixteens of one row or of a power of two of them. Where
// weights are decoded to bf16, scales are rounded to it first; "flow", "held" and "groups" have
// them on their sums, as they are. Of scales beyond 2^7 weights are not numbers.
bool is_fast_fp8(const Product& a);
bool is_fast_fp8(const device::Weight& w);

bool supports_bulk(const Product& a);
cudaError_t launch_bulk(const Product& a, cudaStream_t stream);
bool supports_pairs(const Product& a);
cudaError_t launch_pairs(const Product& a, cudaStream_t stream);
cudaError_t launch_naive(const Product& a, cudaStream_t stream);
bool supports_flow(const Product& a);
cudaError_t launch_flow(const Product& a, cudaStream_t stream);
bool supports_groups(const Product& a);
cudaError_t launch_groups(const Product& a, cudaStream_t stream);
bool supports_held(const Product& a);
cudaError_t launch_held(const Product& a, cudaStream_t stream);
bool supports_held_wide(const Product& a);
cudaError_t launch_held_wide(const Product& a, cudaStream_t stream);
bool supports_ring(const Product& a);
cudaError_t launch_ring(const Product& a, cudaStream_t stream);
bool supports_split(const Product& a);
cudaError_t launch_split(const Product& a, cudaStream_t stream);
cudaError_t launch_stream(const Product& a, cudaStream_t stream);
// What computes both products of the same rows as one; null if they are not to be joined.
ProductLaunch may_be_joined(const Product& a, const Product& rest, std::string_view forced);
Product joined(const Product& a, const Product& rest);
std::int64_t stream_tile_rows(const Product& a);
cudaError_t launch_tiles(const Product& a, cudaStream_t stream);
std::int64_t tiles_tile_rows(const Product& a);
bool supports_wgmma(const Product& a);
cudaError_t launch_wgmma(const Product& a, cudaStream_t stream);
std::int64_t wgmma_tile_rows(const Product& a);
// Whether x_dealt is to be true of this product of experts.
bool wants_dealt(const Product& a);

}  // namespace glm::kernels::cuda
