// How pages keep the row of a token (kernels/ops/paged_rows.h).
//
//   plain        all values of the row in the dtype of activations: f32 (cpu), bf16 (cuda)
//   fp8_latent   of latent attention only: a record of bytes, `latent` values and then `rope`
//
//       latent bytes      e4m3; value c is byte c times scale c / 128
//       zeros             to a multiple of 4
//       f32 each          the scales, one for 128 values of the latent, the last for what is left
//       bf16 each         the rope part: it turns with the position, and small angles must survive
//       zeros             to a multiple of 16
//
//   512 + 64 values are 512 + 16 + 128 = 656 bytes, 1,152 in bf16. No value is in both.
//
// A scale is the largest magnitude of its values over 448, the largest e4m3, rounded to the nearest
// bf16. So the largest value comes back to within 1/256, which a power of two would not give
// (outliers rule a latent's products), and an e4m3 times a scale has twelve significant bits: exact
// in f32, rounded once where it becomes a bf16. A scale is at least 2^-100 and at most 2^7, so
// larger values than 57,344 are cut off there; a latent has been normed, its values are at most
// sqrt(latent) times the norm's weight. Where one of its values is infinite or NaN a scale is NaN,
// and all its values are read so.
//
// Values are divided by their scale in f32 and rounded to the nearest e4m3, ties to even: bytes do
// not depend on the backend. A value comes back within 1/16 of itself, or within scale / 1024 where
// it is smaller than scale / 64; relative RMS of random latents is 2.6e-2 whatever their size.
#pragma once

#include <cstdint>

namespace glm::kernels {

enum class KvFormat : std::uint8_t { plain, fp8_latent };

// Where the parts of a record lie, in bytes.
struct LatentRecord {
  static constexpr std::int64_t kBlock = 128;
  static constexpr std::int64_t kAlignment = 16;

  std::int64_t latent = 0;
  std::int64_t rope = 0;

  constexpr std::int64_t blocks() const { return (latent + kBlock - 1) / kBlock; }
  constexpr std::int64_t scales_at() const { return (latent + 3) / 4 * 4; }
  constexpr std::int64_t rope_at() const { return scales_at() + blocks() * 4; }
  constexpr std::int64_t size_bytes() const {
    return (rope_at() + rope * 2 + kAlignment - 1) / kAlignment * kAlignment;
  }
};

// `values`: latent + rope of them. `record`: size_bytes(), all of them are written; 4-byte aligned.
void encode(const LatentRecord& layout, const float* values, std::uint8_t* record);

// The first `columns` values of a record.
void decode(const LatentRecord& layout, const std::uint8_t* record, std::int64_t columns,
            float* values);

}  // namespace glm::kernels
