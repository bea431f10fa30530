// Random numbers of the kinds that tensors hold: blocks of them, made once and read over and over.
//
// A block has a prime number of elements, so that rows of a matrix, whose lengths are none, begin
// at other places of it each time: no two rows and no two matrices come out the same.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/dtype.h"

namespace glm::runner {

struct RandomValues {
  enum class Kind : std::uint8_t {
    normal,    // around `a`, of standard deviation `b`
    spread,    // even from a / 2 to 3 a / 2: scales
    constant,  // `a`
    nibbles,   // two codes a byte, each even from `a` to `b`
    bytes,     // any byte
    powers,    // codes of e8m0, even from `a` to `b`
    shape,     // the numbers `a` and `b` (i64)
    groups,    // element i is i / a (i32)
  } kind = Kind::constant;
  double a = 0;
  double b = 0;

  auto operator<=>(const RandomValues&) const = default;
};

// Whole elements of `dtype`; of `shape` just two, of `constant` one, else a prime number of them of
// about `elements`, at least as many. The same ones on every machine and in every call.
std::vector<std::byte> random_block(const RandomValues& values, kernels::Dtype dtype,
                                    std::size_t elements);

}  // namespace glm::runner
