// What the configuration says about quantization: enough to refuse early what cannot run, never
// enough to read a weight. How a module is stored is decided by its tensors (formats.h).
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "runner/checkpoint/checkpoint_files.h"

namespace glm::runner {

struct Quantization {
  std::string method;  // "compressed-tensors"; empty: unquantized
  std::string label;   // "int4 g32 (compressed-tensors)"; empty: unquantized
};

// Looks into config.json and then into the sidecar files of `files`, in the order other engines do.
// Errc::unsupported names the format, where it was found and what is missing.
Result<Quantization> find_quantization(std::string_view config_json, const CheckpointFiles& files);

}  // namespace glm::runner
