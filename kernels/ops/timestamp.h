// Writes down when the device is here: between what was asked for before and after.
//
//   out  in device memory, 8-byte aligned: nanoseconds of a clock of the device that runs evenly;
//        only differences mean something
//
// Cost     a launch.
// Stream-ordered, allocates nothing, safe inside graph capture.
#pragma once

#include <cstdint>

#include "base/check.h"

namespace glm::kernels {

struct Timestamp {
  std::uint64_t* out = nullptr;
};

inline void check(const Timestamp& a) {
  GLM_CHECK(a.out != nullptr);
}

}  // namespace glm::kernels
