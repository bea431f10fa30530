#include "kernels/cuda/bulk_plan.h"

#include <algorithm>
#include <array>

#include "kernels/cuda/aligned.h"
#include "kernels/cuda/early_launch.h"

namespace glm::kernels::cuda {
namespace {

constexpr std::array<unsigned, kBulkParts> kShift = {64, 64, 16};  // bytes, of every other copy
constexpr unsigned kFp8Shift = 16;
constexpr std::int64_t kFp8InputsMax = 32 * kChunk;  // a lane has the scales of a chunk
constexpr std::int64_t kRowsMax = 8192;
constexpr std::size_t kStagesMax = 32;

// Most experts of a few rows have no more than one tile of them. Long rows of weights leave room
// for fewer stages.
constexpr std::int64_t kOneTileRowsPerGroup = 6;
constexpr std::array<BulkSizes, 4> kSizes = {{{2, 4}, {2, 2}, {1, 4}, {1, 2}}};

constexpr unsigned padded(std::size_t bytes, unsigned to) {
  return static_cast<unsigned>((bytes + to - 1) / to * to);
}

unsigned scale_bytes(const device::Weight& w) {
  return w.coding == device::Coding::int4 ? 2 : 1;
}

bool has_slabs(const Product& a) {
  return (a.row_group != nullptr || a.groups == 1) && a.weight_rows_per_group == 0 &&
         a.rows <= kRowsMax && fits_tensor_cores(a) && a.inputs % kChunk == 0 &&
         a.outputs % kSlabRows == 0 && a.groups <= UINT16_MAX;
}

// Chunks and halves of slabs have one scale, or each row has its own.
bool suits_fp8_slabs(const device::Weight& w) {
  constexpr std::uint32_t kHalf = kSlabRows / 2;
  return is_fast_fp8(w) && aligned(w.data) && w.order == nullptr && w.cols <= kFp8InputsMax &&
         (w.groups == 1 ||
          (w.group % kChunk == 0 && w.row_block % kHalf == 0 && w.row_offset % kHalf == 0));
}

// Four rows of every part are a copy.
bool copyable(const Product& a, const device::Weight& w) {
  const bool zeros = w.zeros == nullptr || (w.groups % 4 == 0 && aligned(w.zeros));
  const std::uint32_t scales_bytes = scale_bytes(w) * w.groups * kQuadRows;
  return scales_bytes % 16 == 0 && aligned(w.data) && aligned(w.scales) && zeros &&
         (w.zeros == nullptr) == (a.weight.first.zeros == nullptr) && w.order == nullptr &&
         w.group_shift == a.weight.first.group_shift && w.scale_type == a.weight.first.scale_type &&
         kTeamWarps * kChunk % (1U << w.group_shift) == 0;
}

}  // namespace

BulkLimits bulk_limits() {
  int device = 0;
  (void)cudaGetDevice(&device);
  const auto read = [&](cudaDeviceAttr which) {
    int value = 0;
    // A driver older than this program may not know what is asked; nobody else shall hear of it.
    if (cudaDeviceGetAttribute(&value, which, device) != cudaSuccess) (void)cudaGetLastError();
    return value;
  };
  return {.multiprocessors = read(cudaDevAttrMultiProcessorCount),
          .shared_bytes = static_cast<unsigned>(read(cudaDevAttrMaxSharedMemoryPerBlockOptin)),
          .alone = read(cudaDevAttrMpsEnabled) == 0};
}

BulkPlan bulk_plan(const Product& a, const BulkSizes& sizes, const BulkLimits& limits) {
  const device::Weight& w = a.weight.first;
  BulkPlan plan = {};
  plan.row[kData] = static_cast<unsigned>(w.row_bytes);
  const bool fp8 = w.coding == device::Coding::e4m3;
  plan.row[kScales] = fp8 ? 0 : w.groups * scale_bytes(w);
  plan.row[kZeros] = w.zeros != nullptr ? w.groups : 0;
  unsigned at = 0;
  for (int part = 0; part < kBulkParts; ++part) {
    plan.at[part] = at;
    if (plan.row[part] == 0) continue;
    plan.quad[part] =
        kQuadRows * plan.row[part] + (fp8 ? kFp8Shift : kShift[static_cast<std::size_t>(part)]);
    plan.stage_copied += kSlabRows * plan.row[part];
    at = padded(at + kQuads * plan.quad[part], 128);
  }
  plan.stage = at;
  plan.slabs = static_cast<int>(a.outputs / (a.gated ? kSlabRows / 2 : kSlabRows));

  const auto teams = static_cast<std::size_t>(sizes.teams);
  const std::size_t rows = static_cast<std::size_t>(sizes.tiles) * kTileRows;
  const std::size_t activations = rows * static_cast<std::size_t>(a.inputs) * 2;
  const std::size_t partial = teams * kBuffers * kBufferSums * sizeof(float4);
  const std::size_t barriers = 2 * kStagesMax * sizeof(std::uint64_t);
  const std::size_t team_barriers = teams * kBuffers * sizeof(std::uint64_t);
  const std::size_t ends = static_cast<std::size_t>(a.groups) * sizeof(int);
  const std::size_t ids =
      a.row_group == nullptr ? 0 : static_cast<std::size_t>(a.rows) * sizeof(std::uint16_t);
  const std::size_t fixed =
      activations + partial + barriers + team_barriers + ends + rows * sizeof(std::int32_t) + ids;
  const std::size_t room = fixed < limits.shared_bytes ? limits.shared_bytes - fixed : 0;
  const std::size_t stages = std::min(room / plan.stage, kStagesMax) / teams * teams;
  plan.stages = static_cast<int>(stages);
  plan.stages_at = static_cast<unsigned>(activations);
  plan.partial_at = plan.stages_at + static_cast<unsigned>(stages) * plan.stage;
  plan.barriers_at = plan.partial_at + static_cast<unsigned>(partial);
  plan.team_barriers_at = plan.barriers_at + static_cast<unsigned>(barriers);
  plan.ends_at = plan.team_barriers_at + static_cast<unsigned>(team_barriers);
  plan.rows_at = plan.ends_at + static_cast<unsigned>(ends);
  plan.ids_at = plan.rows_at + static_cast<unsigned>(rows * sizeof(std::int32_t));
  plan.total = plan.ids_at + static_cast<unsigned>(ids);
  return plan;
}

std::optional<BulkSizes> bulk_sizes(const Product& a, const BulkLimits& limits) {
  const bool few = a.rows <= (a.row_group == nullptr ? kTileRows : kOneTileRowsPerGroup * a.groups);
  for (const BulkSizes& sizes : kSizes) {
    if (sizes.tiles > 1 && few) continue;
    if (bulk_plan(a, sizes, limits).stages > 0) return sizes;
  }
  return std::nullopt;
}

bool supports_bulk(const Product& a) {
  if (!has_slabs(a)) return false;
  const bool half = is_half_int4(a) && a.weight.first.zeros != nullptr;
  if (!is_fast_int4(a) && !is_fast_fp4(a) && !half) return false;
  return copyable(a, a.weight.first) && (!a.gated || copyable(a, a.up.first)) &&
         has_bulk_copies() && bulk_sizes(a, bulk_limits());
}

bool supports_fp8_slabs(const Product& a) {
  return has_slabs(a) && suits_fp8_slabs(a.weight.first) &&
         (!a.gated ||
          (suits_fp8_slabs(a.up.first) && a.up.first.groups == a.weight.first.groups)) &&
         has_bulk_copies();
}

}  // namespace glm::kernels::cuda
