// From the views of a contract to what device code takes, and what variants ask about views.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/cuda/attention.h"
#include "kernels/device/attention_source.cuh"
#include "kernels/device/turn.cuh"

namespace glm::kernels::cuda {

static_assert(device::kRowsOfPage == kPageTokens);

inline __nv_bfloat16* bf16(const TensorView& a) {
  return static_cast<__nv_bfloat16*>(a.data);
}
inline const __nv_bfloat16* bf16(const ConstTensorView& a) {
  return static_cast<const __nv_bfloat16*>(a.data);
}

template <typename Element = __nv_bfloat16>
device::PagedRows<Element> device_rows(const PagedRows& a) {
  return {.pages = static_cast<Element*>(a.pages.data),
          .table = a.table.as<std::int32_t>(),
          .page_stride = a.pages.stride(0),
          .place_stride = a.pages.stride(1),
          .table_stride = a.table.stride(0)};
}

static_assert(device::LatentRecord::kBlock == LatentRecord::kBlock);

inline device::LatentRecord device_record(const LatentRecord& a) {
  return {.latent = static_cast<int>(a.latent),
          .scales_at = static_cast<int>(a.scales_at()),
          .rope_at = static_cast<int>(a.rope_at()),
          .size_bytes = static_cast<int>(a.size_bytes())};
}

inline device::AttentionHeads device_heads(const TensorView& out, const ConstTensorView& q,
                                           std::int64_t kv_heads, float scale) {
  return {.out = bf16(out),
          .q = bf16(q),
          .out_token = out.stride(0),
          .out_head = out.stride(1),
          .q_token = q.stride(0),
          .q_head = q.stride(1),
          .tokens = static_cast<int>(q.size(0)),
          .heads = static_cast<int>(q.size(1)),
          .group = static_cast<int>(q.size(1) / kv_heads),
          .scale_log2 = static_cast<float>(scale * 1.4426950408889634)};
}

inline device::Turns device_turns(const Rope& a) {
  return {.positions = a.positions.as<std::int32_t>(),
          .inv_freq = a.inv_freq.as<float>(),
          .half = static_cast<int>(a.inv_freq.size(0)),
          .interleaved = a.pairs == RopePairs::interleaved};
}

inline device::PagedSource device_source(const MlaAbsorbed& a) {
  return {.rows = device_rows(a.rows),
          .sequences = a.tokens.sequence.as<std::int32_t>(),
          .positions = a.tokens.position.as<std::int32_t>(),
          .key_dim = static_cast<int>(a.q.size(2)),
          .value_dim = static_cast<int>(a.out.size(2)),
          .value_offset = 0};
}

// Of pages that are not plain.
inline device::LatentSource device_latents(const MlaAbsorbed& a) {
  return {.rows = device_rows<std::uint8_t>(a.rows),
          .layout =
              device_record({.latent = a.rows.fp8_latent, .rope = a.q.size(2) - a.rows.fp8_latent}),
          .sequences = a.tokens.sequence.as<std::int32_t>(),
          .positions = a.tokens.position.as<std::int32_t>()};
}

inline device::PagedSource device_source(const GqaAttention& a) {
  return {.rows = device_rows(a.rows),
          .sequences = a.tokens.sequence.as<std::int32_t>(),
          .positions = a.tokens.position.as<std::int32_t>(),
          .key_dim = static_cast<int>(a.q.size(2)),
          .value_dim = static_cast<int>(a.out.size(2)),
          .value_offset = static_cast<int>(a.kv_heads * a.q.size(2))};
}

inline device::ExpandedSource device_source(const MlaExpanded& a) {
  return {.k = bf16(a.k),
          .k_rope = bf16(a.k_rope),
          .v = bf16(a.v),
          .k_position = a.k.stride(0),
          .k_head = a.k.stride(1),
          .k_rope_position = a.k_rope.stride(0),
          .v_position = a.v.stride(0),
          .v_head = a.v.stride(1),
          .nope = static_cast<int>(a.k.size(2)),
          .first = static_cast<int>(a.k.size(0) - a.q.size(0))};
}

// Every row starts at a multiple of 16 bytes, so that it can be moved in such pieces.
inline bool vector_rows(const ConstTensorView& a) {
  constexpr std::int64_t kBytes = 16;
  bool aligned = reinterpret_cast<std::uintptr_t>(a.data) % kBytes == 0;
  for (int axis = 0; axis + 1 < a.rank; ++axis) {
    aligned = aligned && (a.size(axis) <= 1 || a.stride(axis) * size_bytes(a.dtype) % kBytes == 0);
  }
  return aligned;
}

}  // namespace glm::kernels::cuda
