#include "kernels/cuda/product.h"

#include <array>
#include <bit>

#include "kernels/cuda/aligned.h"
#include "kernels/cuda/bulk_plan.h"
#include "kernels/cuda/normed_product.h"

namespace glm::kernels::cuda {
namespace {

using device::Coding;

// Up to so many rows it is the weights that take the time; beyond, the arithmetic. But tiles need
// blocks enough to give work to most multiprocessors.
constexpr std::int64_t kStreamRows = 64;
constexpr std::int64_t kStreamRowsOfManyOutputs = 32;
constexpr std::int64_t kManyOutputs = 16384;
constexpr std::int64_t kFewTiles = 48;  // of 64 rows by 128 outputs
constexpr std::int64_t kRingRowsMoreThan = 8;
constexpr std::int64_t kHeldInputs = 2048;  // at least; of short sums weights are read in one go
constexpr std::int64_t kHeldOutputs = 16;   // of a block
constexpr std::int64_t kHeldWideInputs = 4096;
constexpr std::int64_t kSharedOutInputs = 4096;
constexpr std::int64_t kSharedOutRowsMoreThan = 8;
constexpr std::int64_t kStreamRowsPerGroup = 10;
constexpr std::int64_t kStreamBlockOutputs = 16;
constexpr std::int64_t kBulkRowsPerGroup = 64;
constexpr std::int64_t kBulkRows = 512;  // of linear layers
constexpr std::int64_t kBulkSlabs = 640;
constexpr std::int64_t kBulkInputs = 4096;
constexpr std::int64_t kWgmmaRowsPerGroup = 16;
constexpr std::int64_t kWgmmaRowsPerGroupOfFourBits = 10;  // those that "groups" has
constexpr std::int64_t kWgmmaRowsMoreThan = 64;
constexpr std::int64_t kWgmmaResults = 1 << 17;

bool fits(const device::Weight& w) {
  return w.cols % 8 == 0 && w.group % 8 == 0 && w.order == nullptr && aligned(w.data);
}

// Its groups are found by shifting.
bool suits_int4(const device::Weight& w) {
  return w.coding == Coding::int4 && w.group % 32 == 0 && w.group_shift != 0 && w.cols % 32 == 0;
}

bool few_rows(const Product& a) {
  if (a.row_group != nullptr) return a.rows <= kStreamRowsPerGroup * a.groups;
  const std::int64_t tiles = (a.rows + 63) / 64 * ((a.outputs + 127) / 128) * (a.gated ? 2 : 1);
  return a.rows <= (a.outputs < kManyOutputs ? kStreamRows : kStreamRowsOfManyOutputs) ||
         tiles <= kFewTiles;
}
bool always(const Product& /*a*/) {
  return true;
}
std::int64_t no_tiles(const Product& /*a*/) {
  return 0;
}

// A linear layer must have slabs enough for all multiprocessors, where others read as fast.
bool suits_bulk(const Product& a) {
  if (a.row_group != nullptr) return a.rows <= kBulkRowsPerGroup * a.groups;
  if (a.inputs > kBulkInputs) return false;
  const std::int64_t slabs = (a.rows + 15) / 16 * (a.outputs / 16) * (a.gated ? 2 : 1);
  return a.rows <= kBulkRows && slabs >= kBulkSlabs;
}

// So many rows of all experts that "wgmma" takes them. Below, "groups" goes over a slab once for
// every tile of eight rows of an expert.
std::int64_t many_rows_of_experts(const Product& a) {
  const bool four_bits = a.weight.first.coding != Coding::e4m3 && supports_groups(a);
  return (four_bits ? kWgmmaRowsPerGroupOfFourBits : kWgmmaRowsPerGroup) * a.groups;
}
bool few_rows_of_experts(const Product& a) {
  return a.row_group != nullptr && a.rows < many_rows_of_experts(a);
}

// Outputs for one block a multiprocessor, but not for many more of fewer columns.
bool suits_held(const Product& a) {
  return a.inputs >= kHeldInputs && a.outputs <= kHeldOutputs * bulk_limits().multiprocessors;
}

// All its blocks should run at once.
bool suits_pairs(const Product& a) {
  const std::int64_t tiles = (a.outputs + kSplitOutputs - 1) / kSplitOutputs * a.groups;
  return a.rows > kRingRowsMoreThan && tiles <= bulk_limits().multiprocessors;
}

// So many weights that multiprocessors hold no more than twice as many: the head of a model, dense
// feed-forward layers, what attention says at last; of fp8, which others decode, half of that, but
// for what "held" and "pairs" have asked for before their rows come.
bool much_weight(const Product& a) {
  const BulkLimits limits = bulk_limits();
  if (suits_held(a) && supports_held(a)) return false;
  if (suits_pairs(a) && supports_pairs(a)) return false;
  const std::int64_t bytes = a.outputs * a.weight.first.row_bytes * (a.gated ? 2 : 1);
  const bool plain = a.weight.first.coding == Coding::bf16;
  return bytes * (plain ? 2 : 4) >= std::int64_t{limits.multiprocessors} * limits.shared_bytes;
}

bool some_rows(const Product& a) {
  return a.rows > kRingRowsMoreThan && a.rows <= kStreamRows && a.outputs < kManyOutputs;
}

// A single row comes from a kernel that leaves multiprocessors free.
bool suits_held_wide(const Product& a) {
  return a.rows == 1 && a.inputs >= kHeldWideInputs && suits_held(a);
}

// Outputs for at least half of the multiprocessors, or so many columns that they are shared out. Of
// linear layers a norm may be folded into those of the fewest rows, by "stream".
bool suits_split(const Product& a) {
  const std::int64_t tiles = (a.outputs + kSplitOutputs - 1) / kSplitOutputs * a.groups;
  const std::int64_t multiprocessors = bulk_limits().multiprocessors;
  if (tiles > multiprocessors) return false;
  if (2 * tiles >= multiprocessors) return a.groups > 1 || a.rows > kNormedRowsMax;
  return a.inputs >= kSharedOutInputs && a.rows > kSharedOutRowsMoreThan;
}

// A part of a tile takes as long as a whole one. Where there are but one or two others are faster.
bool many_rows(const Product& a) {
  if (a.row_group != nullptr) return a.rows >= many_rows_of_experts(a);
  const std::int64_t rows = (a.rows + 63) / 64 * 64;
  return a.rows > kWgmmaRowsMoreThan && rows * a.outputs * a.groups >= kWgmmaResults;
}

constexpr std::array<ProductVariant, 12> kVariants = {{
    {"wgmma", &wgmma_tile_rows, &supports_wgmma, &many_rows, &launch_wgmma},
    {"flow", &no_tiles, &supports_flow, &much_weight, &launch_flow},
    {"held_wide", &no_tiles, &supports_held_wide, &suits_held_wide, &launch_held_wide},
    {"held", &no_tiles, &supports_held, &suits_held, &launch_held},
    {"ring", &no_tiles, &supports_ring, &some_rows, &launch_ring},
    {"pairs", &no_tiles, &supports_pairs, &suits_pairs, &launch_pairs},
    {"split", &no_tiles, &supports_split, &suits_split, &launch_split},
    {"groups", &no_tiles, &supports_groups, &few_rows_of_experts, &launch_groups},
    {"bulk", &no_tiles, &supports_bulk, &suits_bulk, &launch_bulk},
    {"stream", &stream_tile_rows, &fits_tensor_cores, &few_rows, &launch_stream},
    {"tiles", &tiles_tile_rows, &fits_tensor_cores, &always, &launch_tiles},
    {"naive", &no_tiles, &always, &always, &launch_naive},
}};

}  // namespace

bool fits_tensor_cores(const Product& a) {
  // Whoever wants f32 results of f32 weights, a router say, wants no rounding to bf16.
  if (a.out_f32 && a.weight.first.coding == Coding::f32) return false;
  return a.inputs % 8 == 0 && aligned(a.x) && a.x_stride % 8 == 0 && a.x_group_stride % 8 == 0 &&
         fits(a.weight.first) && (!a.gated || fits(a.up.first));
}

bool is_fast_int4(const Product& a) {
  return is_fast_int4(a.weight.first) && (!a.gated || is_fast_int4(a.up.first));
}
bool is_fast_int4(const device::Weight& w) {
  return w.scale_type == device::ScaleType::bf16 && suits_int4(w);
}

bool is_half_int4(const Product& a) {
  return is_half_int4(a.weight.first) && (!a.gated || is_half_int4(a.up.first));
}
bool is_half_int4(const device::Weight& w) {
  return w.scale_type == device::ScaleType::f16 && suits_int4(w);
}

bool is_fast_fp4(const Product& a) {
  return is_fast_fp4(a.weight.first) && (!a.gated || is_fast_fp4(a.up.first));
}
bool is_fast_fp4(const device::Weight& w) {
  const bool nvfp4 = w.scale_type == device::ScaleType::e4m3 && w.group == 16;
  const bool mxfp4 = w.scale_type == device::ScaleType::e8m0 && w.group == 32;
  return w.coding == Coding::e2m1 && (nvfp4 || mxfp4) && w.cols % 32 == 0 && aligned(w.scales);
}

bool is_fast_fp8(const Product& a) {
  return is_fast_fp8(a.weight.first) && (!a.gated || is_fast_fp8(a.up.first));
}
bool is_fast_fp8(const device::Weight& w) {
  const bool groups = w.groups == 1 || (w.group_shift != 0 && w.group % 16 == 0);
  return w.coding == Coding::e4m3 && w.cols % 16 == 0 && groups &&
         std::has_single_bit(w.row_block) &&
         (w.scale_type == device::ScaleType::f32 || w.scale_type == device::ScaleType::bf16);
}

ProductLaunch may_be_joined(const Product& a, const Product& rest, std::string_view forced) {
  const device::Weight& first = a.weight.first;
  const device::Weight& second = rest.weight.first;
  const bool alike = first.coding == second.coding && first.scale_type == second.scale_type &&
                     first.group == second.group && first.global_scale == second.global_scale &&
                     (first.zeros == nullptr) == (second.zeros == nullptr) &&
                     is_fast_fp4(first) == is_fast_fp4(second) &&
                     first.row_block == second.row_block && first.row_offset == 0 &&
                     second.row_offset == 0;
  const ProductLaunch launch = choose_variant(a, forced).launch;
  if (!alike || choose_variant(rest, forced).launch != launch) return nullptr;
  if (launch == &launch_stream && a.outputs % kStreamBlockOutputs == 0) return launch;
  const bool supported = (launch == &launch_pairs && supports_pairs(joined(a, rest))) ||
                         (launch == &launch_held && supports_held(joined(a, rest)));
  return supported ? launch : nullptr;
}

Product joined(const Product& a, const Product& rest) {
  Product both = a;
  both.up = rest.weight;
  both.joined_at = a.outputs;
  both.outputs += rest.outputs;
  return both;
}

const ProductVariant& choose_variant(const Product& a, std::string_view forced) {
  for (const ProductVariant& variant : kVariants) {
    const bool wanted = forced.empty() ? variant.prefers(a) : forced == variant.name;
    if (wanted && variant.supports(a)) return variant;
  }
  return kVariants.back();
}

}  // namespace glm::kernels::cuda
