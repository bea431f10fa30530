// A borrowed, typed, strided block of memory: what every op takes. Owns nothing and checks nothing;
// match.h checks.
//
// Strides count elements. Rank is at most four. An absent optional operand is a view without data.
#pragma once

#include <array>
#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <type_traits>

#include "base/check.h"
#include "kernels/dtype.h"

namespace glm::kernels {

constexpr int kRankMax = 4;

template <typename T>
constexpr Dtype dtype_of() {
  if constexpr (std::is_same_v<T, double>) return Dtype::f64;
  if constexpr (std::is_same_v<T, float>) return Dtype::f32;
  if constexpr (std::is_same_v<T, std::int32_t>) return Dtype::i32;
  if constexpr (std::is_same_v<T, std::uint32_t>) return Dtype::u32;
  if constexpr (std::is_same_v<T, std::uint16_t>) return Dtype::u16;
  if constexpr (std::is_same_v<T, std::uint8_t>) return Dtype::u8;
}

template <typename Void>
struct BasicTensorView {
  Void* data = nullptr;
  Dtype dtype = Dtype::f32;
  int rank = 0;
  std::array<std::int64_t, kRankMax> shape = {};
  std::array<std::int64_t, kRankMax> strides = {};

  BasicTensorView() = default;

  // Contiguous.
  BasicTensorView(Void* first, Dtype type, std::initializer_list<std::int64_t> sizes)
      : data(first), dtype(type), rank(static_cast<int>(sizes.size())) {
    GLM_CHECK(rank <= kRankMax);
    int axis = 0;
    for (const std::int64_t size : sizes) shape[static_cast<std::size_t>(axis++)] = size;
    std::int64_t stride = 1;
    while (axis-- > 0) {
      strides[static_cast<std::size_t>(axis)] = stride;
      stride *= shape[static_cast<std::size_t>(axis)];
    }
  }

  // Whoever may write may read.
  template <typename Other>
  requires(std::is_const_v<Void> && !std::is_const_v<Other>)
      BasicTensorView(const BasicTensorView<Other>& other)  // NOLINT: implicit by design
      : data(other.data),
        dtype(other.dtype),
        rank(other.rank),
        shape(other.shape),
        strides(other.strides) {}

  explicit operator bool() const { return data != nullptr; }
  std::int64_t size(int axis) const { return shape[static_cast<std::size_t>(axis)]; }
  std::int64_t stride(int axis) const { return strides[static_cast<std::size_t>(axis)]; }

  template <typename T>
  auto* as() const {
    using Pointer = std::conditional_t<std::is_const_v<Void>, const T, T>;
    return static_cast<Pointer*>(data);
  }

  // Part of one axis: columns of a matrix, rows of a cache.
  BasicTensorView slice(int axis, std::int64_t first, std::int64_t count) const {
    GLM_CHECK(axis < rank && first >= 0 && count >= 0 && first + count <= size(axis));
    BasicTensorView part = *this;
    using Byte = std::conditional_t<std::is_const_v<Void>, const std::byte, std::byte>;
    if (data != nullptr) {
      part.data = static_cast<Byte*>(data) + first * stride(axis) * size_bytes(dtype);
    }
    part.shape[static_cast<std::size_t>(axis)] = count;
    return part;
  }

  // The rows of a matrix as so many vectors each: [rows, heads, columns / heads].
  BasicTensorView as_heads(std::int64_t heads) const {
    GLM_CHECK(rank == 2 && heads >= 1 && size(1) % heads == 0);
    const std::int64_t width = size(1) / heads;
    BasicTensorView split = *this;
    split.rank = 3;
    split.shape = {size(0), heads, width};
    split.strides = {stride(0), heads == 1 ? stride(0) : width * stride(1), stride(1)};
    return split;
  }
};

using TensorView = BasicTensorView<void>;
using ConstTensorView = BasicTensorView<const void>;

template <typename T>
TensorView view(std::span<T> values,
                std::initializer_list<std::int64_t> sizes) requires(!std::is_const_v<T>) {
  return {values.data(), dtype_of<T>(), sizes};
}

template <typename T>
ConstTensorView view(std::span<const T> values, std::initializer_list<std::int64_t> sizes) {
  return {values.data(), dtype_of<T>(), sizes};
}

}  // namespace glm::kernels
