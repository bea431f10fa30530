// What the kernels of mla_decode.h, mla_decode_batch.h and mla_decode_long.h want of the operation,
// and how they are told of it.
#pragma once

#include "kernels/cuda/aligned.h"
#include "kernels/cuda/attention_args.h"
#include "kernels/cuda/device_weight.h"
#include "kernels/cuda/mla_decode_block.cuh"
#include "kernels/cuda/product.h"
#include "kernels/ops/mla_decode.h"

namespace glm::kernels::cuda::mla_decode {

// GLM-4.7-Flash's dimensions, plain pages, both weights in one coding that is decoded here.
inline bool suits(const MlaDecode& a) {
  const MlaLatents& l = a.latents;
  const device::Weight q_b = device_weight(l.q_b);
  const device::Weight kv_b = device_weight(a.kv_b);
  const auto in_vectors = [](const device::Weight& w) {
    return aligned(w.data) && w.row_bytes % 16 == 0 && w.order == nullptr;
  };
  const auto is_bf16 = [](const device::Weight& w) { return w.coding == device::Coding::bf16; };
  return l.query.dtype == Dtype::bf16 && l.rows.plain() && l.query.size(1) == kQRank &&
         a.rank() == kRank && a.turned() == kTurned && a.nope() == kNope &&
         a.out.size(2) == kValue && vector_rows(l.query) && vector_rows(l.row) &&
         vector_rows(l.rows.pages) && vector_rows(l.q_norm) && vector_rows(l.kv_norm) &&
         in_vectors(q_b) && in_vectors(kv_b) &&
         ((is_fast_int4(q_b) && is_fast_int4(kv_b)) || (is_fast_fp4(q_b) && is_fast_fp4(kv_b)) ||
          (is_fast_fp8(q_b) && is_fast_fp8(kv_b)) || (is_bf16(q_b) && is_bf16(kv_b)));
}

inline Args args_of(const MlaDecode& a) {
  const MlaLatents& l = a.latents;
  return {.out = bf16(a.out),
          .out_token = a.out.stride(0),
          .out_head = a.out.stride(1),
          .query = bf16(l.query),
          .query_stride = l.query.stride(0),
          .row = bf16(l.row),
          .row_stride = l.row.stride(0),
          .q_norm = bf16(l.q_norm),
          .kv_norm = bf16(l.kv_norm),
          .eps = l.eps,
          .scale_log2 = a.scale * 1.4426950408889634F,
          .q_b = device_weight(l.q_b),
          .kv_b = device_weight(a.kv_b),
          .turns = device_turns(l.row_rope()),
          .rows = device_rows(l.rows),
          .sequences = l.tokens.sequence.as<std::int32_t>()};
}

}  // namespace glm::kernels::cuda::mla_decode
