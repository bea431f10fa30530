// A weight of kernels/weight_format.h as device code gets it: numbers and addresses by value.
#pragma once

#include <cstdint>

namespace glm::kernels::device {

enum class Coding : std::uint8_t { f32, f16, bf16, int4, int8, e4m3, e2m1 };
enum class ScaleType : std::uint8_t { f32, f16, bf16, e4m3, e8m0 };
enum class Global : std::uint8_t { none, multiplies, divides };

struct Weight {
  const std::uint8_t* data = nullptr;
  const void* scales = nullptr;
  const std::uint8_t* zeros = nullptr;  // null: the middle of the range
  const std::int32_t* order = nullptr;  // null: columns are stored as they are
  const float* global = nullptr;
  std::int64_t row_bytes = 0;
  std::int64_t row_offset = 0;  // of row 0 within its block of scales
  std::uint32_t row_block = 1;
  std::uint32_t cols = 0;
  std::uint32_t group = 0;
  std::uint32_t group_shift = 0;  // group is 2^this; 0 where it is no power of two
  std::uint32_t groups = 0;
  Coding coding = Coding::f32;
  ScaleType scale_type = ScaleType::f32;
  Global global_scale = Global::none;
};

// Many weights of one layout; the byte counts lead from one to the next.
struct Weights {
  Weight first = {};
  std::int64_t data_bytes = 0;
  std::int64_t scales_bytes = 0;
  std::int64_t zeros_bytes = 0;
  std::int64_t order_bytes = 0;
  std::int64_t global_bytes = 0;
};

}  // namespace glm::kernels::device
