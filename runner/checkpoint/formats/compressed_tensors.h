// compressed-tensors, pack-quantized, 4 or 8 bits, symmetric:
//
//   M.weight_packed  I32 [out, ceil(in*bits/32)]   rows are little-endian bit streams; an element
//                                                  takes `bits` bits and is stored as q + 2^(bits-1)
//   M.weight_scale   BF16|F16|F32 [out, in/g]      channel: [out, 1]; tensor: [1]
//   M.weight_shape   I64 [2]                       (out, in)
//
// which is the int4_group or int8_group memory format already; a scale of a whole tensor is repeated
// per row. weight_zero_point is accepted where all of it means zero, weight_g_idx where it says what
// the order of columns says anyway; older writers leave both behind.
#pragma once

#include "runner/checkpoint/formats.h"

namespace glm::runner::compressed_tensors {

Result<std::optional<StoredWeight>> detect(const Checkpoint& checkpoint, const std::string& module);
Status read(const Checkpoint& checkpoint, const std::string& module,
            const kernels::WeightLayout& layout, WeightMemory target);

}  // namespace glm::runner::compressed_tensors
