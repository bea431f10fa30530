// `glm bench --kernels`: the operations that GLM-4.7-Flash is made of, in its dimensions, each held
// against what the device can do at best, reading or multiplying, whichever is nearer.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "cmd/bench/output.h"

namespace glm::bench {

// As typed.
struct KernelOptions {
  std::string device = "auto";
  std::int64_t threads = 0;
  std::string tokens;  // of a step; empty: by the device
  std::string only;    // operations whose names contain this
};

// Errc::invalid_argument names the flag; Errc::not_found: no operation has such a name.
Status measure_kernels(const KernelOptions& options, Output& output);

}  // namespace glm::bench
