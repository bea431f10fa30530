// Which device a model runs on when a person said a word, or nothing.
#pragma once

#include <string>

#include "base/result.h"

namespace glm::runner {

struct DeviceChoice {
  std::string name;  // "cpu", "cuda:0"
  std::string note;  // for the person; may be empty
  int index = 0;     // N of cuda:N
};

// `wanted` is auto, cpu, cuda or cuda:N. "auto" takes the CPU where there is no GPU; a GPU that is
// there but fails is an error, never a silent slow path. Errc::invalid_argument for anything else,
// Errc::device and unsupported where it cannot be had.
Result<DeviceChoice> choose_device(const std::string& wanted);

}  // namespace glm::runner
