// An order of columns in which four-bit weights are decoded with the fewest instructions: of every
// 128, a lane of a tensor-core product has 32 that lie together, so it reads them at once, has one
// scale for them, and makes two of every word with every shift; in their own order it has a byte
// of every word.
//
// Column 32q + 8w + 4b + m (q, w, m < 4, b < 2) comes at 32w + 8m + 2q + b.
#pragma once

#include "kernels/device/int4.cuh"

namespace glm::kernels::device {

// Whole warps. Lane 4q + w of sixteen has columns 32q + 8w to 32q + 8w + 7 of 128 as bf16, and gets
// what comes at 32w + 8q to 32w + 8q + 7.
__device__ __forceinline__ uint4 deal_columns(const uint4& octet, int lane) {
  constexpr int kApart = 4;  // lanes of one w
  constexpr unsigned kAll = 0xFFFFFFFFU;
  // Word m has columns m and m + 4 of the octet: the lanes exchange, as a matrix of words is
  // turned.
  const uint4 own = int4_order(octet);
  const bool odd = lane / kApart % 2 != 0;
  const std::uint32_t first = __shfl_xor_sync(kAll, odd ? own.x : own.y, kApart);
  const std::uint32_t second = __shfl_xor_sync(kAll, odd ? own.z : own.w, kApart);
  const uint2 low = odd ? uint2{first, own.y} : uint2{own.x, first};
  const uint2 high = odd ? uint2{second, own.w} : uint2{own.z, second};
  const bool upper = lane / kApart % 4 >= 2;
  const uint2 sent = upper ? low : high;
  const uint2 got = {__shfl_xor_sync(kAll, sent.x, 2 * kApart),
                     __shfl_xor_sync(kAll, sent.y, 2 * kApart)};
  return upper ? uint4{got.x, got.y, high.x, high.y} : uint4{low.x, low.y, got.x, got.y};
}

}  // namespace glm::kernels::device
