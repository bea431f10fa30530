#include "kernels/cuda/wgmma_plan.h"

#include <algorithm>
#include <array>

#include "kernels/cuda/aligned.h"

namespace glm::kernels::cuda {
namespace {

constexpr std::array<int, 5> kTileRows = {64, 96, 128, 160, kWgmmaRowsMax};
constexpr unsigned kScaleBytes = 4;  // of a row of weights in a stage
constexpr int kStagesMax = 16;
constexpr unsigned kAlignment = 1024;  // of what products read

// Cycles of a tile: a step takes as long as its products, or as decoding where those are few;
// filling the first stage and storing results come on top.
constexpr std::int64_t kDecodingCycles = 300;
constexpr std::int64_t kCyclesPerRow = 4;
constexpr std::int64_t kTileCycles = 1500;
constexpr std::int64_t kResultCyclesPerRow = 8;

std::int64_t divided_up(std::int64_t count, std::int64_t of) {
  return (count + of - 1) / of;
}

std::int64_t blocks_of_weights(const Product& a) {
  return divided_up(a.outputs, a.gated ? kWgmmaOutputs / 2 : kWgmmaOutputs);
}

std::int64_t cycles(const Product& a, int rows, int multiprocessors) {
  const std::int64_t tiles = divided_up(a.rows, rows) * blocks_of_weights(a) * a.groups;
  const std::int64_t step = std::max(kCyclesPerRow * rows, kDecodingCycles);
  const std::int64_t tile =
      a.inputs / kWgmmaDepth * step + kTileCycles + kResultCyclesPerRow * rows;
  return divided_up(tiles, multiprocessors) * tile;
}

// Scales come four bytes at a time.
bool scales_fit(const device::Weight& w) {
  if (w.coding == device::Coding::int4) {
    return w.zeros == nullptr && w.groups % 2 == 0 && aligned(w.scales, 4);
  }
  return w.coding == device::Coding::bf16 || w.coding == device::Coding::e2m1;
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
                                  w.scale_type == up.scale_type && scales_fit(up));
  const bool decoded = is_fast_int4(a) || is_fast_fp4(a) || w.coding == device::Coding::bf16;
  return alike && decoded && scales_fit(w) && fits_tensor_cores(a) &&
         a.inputs % (2 * kWgmmaDepth) == 0 && a.rows * (a.x_stride / 8) < 1LL << 32 &&
         device_fits();
}

int wgmma_rows(const Product& a, int multiprocessors) {
  if (a.row_group != nullptr) {
    // Tiles are cut to the rows they have; some groups have more rows than the mean.
    const std::int64_t wanted = a.rows * 4 / (3 * a.groups);
    for (const int rows : kTileRows) {
      if (rows >= wanted) return rows;
    }
    return kTileRows.back();
  }
  return *std::min_element(kTileRows.begin(), kTileRows.end(), [&](int left, int right) {
    return cycles(a, left, multiprocessors) < cycles(a, right, multiprocessors);
  });
}

WgmmaPlan wgmma_plan(const Product& a, unsigned row_bytes, int multiprocessors,
                     unsigned shared_bytes) {
  WgmmaPlan plan;
  plan.tile_rows = wgmma_rows(a, multiprocessors);
  plan.row_tiles = static_cast<int>(divided_up(a.rows, plan.tile_rows));
  plan.m_blocks = static_cast<int>(blocks_of_weights(a));
  plan.weights_at = static_cast<unsigned>(plan.tile_rows) * kWgmmaDepth * 2;
  plan.scales_at = plan.weights_at + kWgmmaOutputs * row_bytes;
  plan.stage =
      (plan.scales_at + kWgmmaOutputs * kScaleBytes + kAlignment - 1) / kAlignment * kAlignment;
  const unsigned results = kWgmmaGroups * kWgmmaResultBytes;
  const unsigned barriers = 2 * kStagesMax * 8;
  const unsigned room = shared_bytes - results - barriers - kAlignment;
  plan.stages = std::min(static_cast<int>(room / plan.stage), kStagesMax);
  plan.results_at = static_cast<unsigned>(plan.stages) * plan.stage;
  plan.barriers_at = plan.results_at + results;
  plan.total = plan.barriers_at + barriers + kAlignment;
  const bool pieces = aligned(a.out, 16) && a.bias == nullptr && a.outputs % 8 == 0 &&
                      a.out_stride % 8 == 0 && a.out_group_stride % 8 == 0;
  plan.whole_octets = pieces && !a.out_f32 && a.factor == nullptr;
  plan.whole_fours = pieces && a.out_f32;
  return plan;
}

}  // namespace glm::kernels::cuda
