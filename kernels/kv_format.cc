#include "kernels/kv_format.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/dtype.h"

namespace glm::kernels {
namespace {

constexpr float kLargest = 448;
constexpr float kScaleMin = 0x1p-100F;
constexpr float kScaleMax = 0x1p7F;

float scale_of(const float* values, std::int64_t count) {
  float largest = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    if (!std::isfinite(values[i])) return std::numeric_limits<float>::quiet_NaN();
    largest = std::max(largest, std::abs(values[i]));
  }
  return std::clamp(bf16_to_f32(f32_to_bf16(largest / kLargest)), kScaleMin, kScaleMax);
}

const std::array<float, 256>& e4m3_values() {
  static const std::array<float, 256> table = [] {
    std::array<float, 256> values = {};
    for (std::size_t i = 0; i < values.size(); ++i) {
      values[i] = f8_e4m3_to_f32(static_cast<std::uint8_t>(i));
    }
    return values;
  }();
  return table;
}

}  // namespace

void encode(const LatentRecord& layout, const float* values, std::uint8_t* record) {
  std::memset(record, 0, static_cast<std::size_t>(layout.size_bytes()));
  for (std::int64_t block = 0; block < layout.blocks(); ++block) {
    const std::int64_t first = block * LatentRecord::kBlock;
    const std::int64_t count = std::min(LatentRecord::kBlock, layout.latent - first);
    const float scale = scale_of(values + first, count);
    std::memcpy(record + layout.scales_at() + block * 4, &scale, sizeof(scale));
    for (std::int64_t i = 0; i < count; ++i) {
      record[first + i] = f32_to_f8_e4m3(values[first + i] / scale);
    }
  }
  for (std::int64_t i = 0; i < layout.rope; ++i) {
    const std::uint16_t bits = f32_to_bf16(values[layout.latent + i]);
    std::memcpy(record + layout.rope_at() + i * 2, &bits, sizeof(bits));
  }
}

void decode(const LatentRecord& layout, const std::uint8_t* record, std::int64_t columns,
            float* values) {
  const std::array<float, 256>& e4m3 = e4m3_values();
  const std::int64_t latent = std::min(columns, layout.latent);
  for (std::int64_t first = 0; first < latent; first += LatentRecord::kBlock) {
    float scale = 0;
    std::memcpy(&scale, record + layout.scales_at() + first / LatentRecord::kBlock * 4,
                sizeof(scale));
    const std::int64_t end = std::min(first + LatentRecord::kBlock, latent);
    for (std::int64_t c = first; c < end; ++c) values[c] = e4m3[record[c]] * scale;
  }
  for (std::int64_t c = latent; c < columns; ++c) {
    std::uint16_t bits = 0;
    std::memcpy(&bits, record + layout.rope_at() + (c - layout.latent) * 2, sizeof(bits));
    values[c] = bf16_to_f32(bits);
  }
}

}  // namespace glm::kernels
