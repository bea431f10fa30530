#include "kernels/cuda/wgmma_plan.h"

#include <algorithm>
#include <array>

#include "kernels/cuda/aligned.h"
#include "kernels/cuda/wgmma_maps.h"

namespace glm::kernels::cuda {
namespace {

// Of products whose groups have all rows.
constexpr std::array<WgmmaTile, 8> kTiles = {{{.groups = 4, .rows = 128},
                                              {.groups = 4, .rows = 96},
                                              {.groups = 2, .rows = 128},
                                              {.groups = 2, .rows = 64},
                                              {.groups = 2, .rows = 128, .blocks = 2},
                                              {.groups = 2, .rows = 64, .blocks = 2},
                                              {.groups = 2, .rows = 128, .blocks = 4},
                                              {.groups = 2, .rows = 64, .blocks = 4}}};
constexpr int kStagesMax = 12;
constexpr unsigned kAlignment = 1024;  // of what products read
// Scales of many experts' rows, each read for a few columns at a time, come through what is left to
// the first-level cache: with more than this they would leave it before their lines are used up.
constexpr unsigned kSharedBesideScales = 195U << 10U;

// Cycles of a tile. Sixty-four columns take as long as their products and what decoding adds to
// them; filling the first stage, storing results and what a cluster exchanges come on top.
constexpr double kCyclesPerRow = 2;
constexpr double kTileCycles = 2500;
constexpr double kResultCyclesPerRow = 6;
constexpr double kClusterCycles = 2500;
constexpr double kExchangeCyclesPerRow = 24;

double decoding_cycles(device::Coding coding) {
  if (coding == device::Coding::e4m3) return 350;
  return coding == device::Coding::e2m1 ? 240 : 120;
}

std::int64_t divided_up(std::int64_t count, std::int64_t of) {
  return (count + of - 1) / of;
}

std::int64_t blocks_of_weights(const Product& a, int groups) {
  const int outputs = groups * kWgmmaGroupRows;
  return divided_up(a.outputs, a.gated ? outputs / 2 : outputs);
}

std::int64_t tiles_of(const Product& a, const WgmmaTile& tile) {
  return divided_up(a.rows, tile.rows) * blocks_of_weights(a, tile.groups) * a.groups;
}

// A cluster has but one tile. Clusters of four lie within a GPC, and not all of those have a
// multiple of four multiprocessors: an H200 runs 30 of these blocks' clusters at once, not 33.
bool may_have_clusters(const Product& a, const WgmmaTile& tile, int multiprocessors) {
  const int at_once = (tile.blocks > 2 ? multiprocessors * 10 / 11 : multiprocessors) / tile.blocks;
  return a.inputs % (std::int64_t{kWgmmaScaledColumns} * tile.blocks) == 0 &&
         tiles_of(a, tile) <= at_once;
}

double cycles(const Product& a, const WgmmaTile& tile, int multiprocessors) {
  const double steps = static_cast<double>(a.inputs) / 64 / tile.blocks;
  const double step =
      tile.groups * kCyclesPerRow * tile.rows + decoding_cycles(a.weight.first.coding);
  const double exchange = tile.blocks > 1 ? kClusterCycles + kExchangeCyclesPerRow * tile.rows : 0;
  const double all =
      steps * step + kTileCycles + exchange + tile.groups * kResultCyclesPerRow * tile.rows;
  return static_cast<double>(divided_up(tiles_of(a, tile) * tile.blocks, multiprocessors)) * all;
}

// Whether weights have tensor maps, and what a stage has of scales and zeros can be read at once.
bool weights_fit(const device::Weight& w) {
  if (!aligned(w.data) || w.row_bytes % 16 != 0) return false;
  if (w.coding == device::Coding::bf16) return true;
  if (w.coding == device::Coding::e4m3) return w.groups == 1 || w.group % kWgmmaFp8Columns == 0;
  const unsigned groups = std::max(kWgmmaScaledColumns >> w.group_shift, 1U);
  const bool int4 = w.coding == device::Coding::int4;
  return aligned(w.scales, int4 ? 2 * groups : groups) &&
         (w.zeros == nullptr || aligned(w.zeros, groups));
}

// Its code is in this program, and the device runs it.
bool device_fits() {
#if defined(GLM_HAVE_SM90A)
  int device = 0;
  int major = 0;
  return cudaGetDevice(&device) == cudaSuccess &&
         cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device) == cudaSuccess &&
         major == 9;
#else
  return false;
#endif
}

}  // namespace

bool supports_wgmma(const Product& a) {
  const device::Weight& w = a.weight.first;
  const device::Weight& up = a.up.first;
  const bool alike = !a.gated || (w.coding == up.coding && w.group_shift == up.group_shift &&
                                  w.groups == up.groups && w.scale_type == up.scale_type &&
                                  weights_fit(up) && (w.zeros == nullptr) == (up.zeros == nullptr));
  const bool decoded = is_fast_int4(a) || is_half_int4(a) || is_fast_fp4(a) || is_fast_fp8(a) ||
                       w.coding == device::Coding::bf16;
  const bool rows = a.row_group == nullptr ? a.x_divisor == 1 : a.x_sorted;
  return alike && decoded && rows && weights_fit(w) && fits_tensor_cores(a) &&
         a.inputs % 128 == 0 && device_fits() && has_tensor_maps();
}

WgmmaTile wgmma_tile(const Product& a, int multiprocessors) {
  if (a.row_group != nullptr) {
    // Some groups have more rows than the mean.
    const std::int64_t wanted = a.rows * 4 / (3 * a.groups);
    if (wanted <= kWgmmaRowsFew) return {.groups = 4, .rows = kWgmmaRowsFew};
    for (const int rows : {80, 128}) {
      if (rows >= wanted) return {.groups = 3, .rows = rows};
    }
    return {.groups = 3, .rows = kWgmmaRowsMax};
  }
  WgmmaTile best = kTiles[0];
  for (const WgmmaTile& tile : kTiles) {
    if (tile.blocks > 1 && !may_have_clusters(a, tile, multiprocessors)) continue;
    if (cycles(a, tile, multiprocessors) < cycles(a, best, multiprocessors)) best = tile;
  }
  return best;
}

bool may_copy_scales(const Product& a) {
  const auto may = [&](const device::Weights& all) {
    const device::Weight& w = all.first;
    const bool int4 = w.coding == device::Coding::int4;
    const bool eight = int4 ? is_fast_int4(w) && w.group == 32
                            : is_fast_fp4(w) && w.scale_type == device::ScaleType::e4m3;
    const std::int64_t row_bytes = a.inputs / kWgmmaScaledColumns * kWgmmaCopiedBytes;
    return eight && w.zeros == nullptr && w.row_block == 1 && row_bytes % 16 == 0 &&
           aligned(w.scales) && all.scales_bytes % 16 == 0;
  };
  return a.row_group != nullptr && may(a.weight) && (!a.gated || may(a.up));
}

WgmmaPlan wgmma_plan(const Product& a, const WgmmaTile& tile, const WgmmaStage& stage,
                     unsigned shared_bytes) {
  const int outputs = tile.groups * kWgmmaGroupRows;
  WgmmaPlan plan{.groups = tile.groups, .tile_rows = tile.rows};
  // All rows of a tile at once, unless many may be missing.
  const bool cut = a.row_group != nullptr && tile.rows > 80;
  plan.box_rows = cut ? 32 : tile.rows;
  const bool few = a.row_group != nullptr && tile.rows == kWgmmaRowsFew;
  plan.fewest_rows = few ? kWgmmaRowsFewest : 0;
  plan.row_tiles = static_cast<int>(divided_up(a.rows, plan.tile_rows));
  plan.m_blocks = static_cast<int>(blocks_of_weights(a, tile.groups));
  plan.blocks = tile.blocks;
  plan.steps = static_cast<int>(a.inputs) / stage.depth / tile.blocks;
  plan.sliced = a.out_dealt && tile.groups == 3;
  plan.weights_at = static_cast<unsigned>(plan.tile_rows * stage.depth) * 2;
  plan.scales_at = plan.weights_at + static_cast<unsigned>(outputs) * stage.row_bytes;
  plan.stage =
      plan.scales_at + (stage.scales ? static_cast<unsigned>(outputs) * kWgmmaScaleBytes : 0);
  const unsigned results = static_cast<unsigned>(tile.groups) * kWgmmaResultBytes;
  const unsigned barriers = 2 * kStagesMax * 8;
  const auto copied = stage.copied ? static_cast<unsigned>(outputs) * kWgmmaCopiedBytes : 0U;
  if (few && stage.scales) shared_bytes = std::min(shared_bytes, kSharedBesideScales);
  const bool rows_staged = few && !a.out_sorted;
  plan.tile_slot = kWgmmaTileBytes + (rows_staged ? static_cast<unsigned>(tile.rows) * 4 : 0);
  const unsigned slots = kWgmmaTileSlots * plan.tile_slot;
  const unsigned room = shared_bytes - results - barriers - slots - kAlignment;
  plan.stages = std::min(static_cast<int>(room / (plan.stage + copied)), kStagesMax);
  if (stage.copied) plan.stages -= plan.stages % 2;
  plan.copied_at = static_cast<unsigned>(plan.stages) * plan.stage;
  plan.results_at = plan.copied_at + static_cast<unsigned>(plan.stages) * copied;
  plan.barriers_at = plan.results_at + results;
  plan.tiles_at = plan.barriers_at + barriers;
  plan.total = plan.tiles_at + slots + kAlignment;
  const bool pieces = aligned(a.out, 16) && a.bias == nullptr && a.outputs % 8 == 0 &&
                      a.out_stride % 8 == 0 && a.out_group_stride % 8 == 0;
  plan.whole_octets = pieces && !a.out_f32 && a.factor == nullptr;
  plan.whole_fours = pieces && a.out_f32;
  return plan;
}

}  // namespace glm::kernels::cuda
