// How the modules of a checkpoint are stored, summed up: per group of modules and format, how many
// there are and how many bytes they have; what a quantized checkpoint leaves unquantized; and where
// configuration and tensors disagree.
//
// Headers suffice. Every tensor is counted in one group, so the groups add up to the checkpoint.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "runner/checkpoint/checkpoint.h"
#include "runner/checkpoint/quantization.h"

namespace glm::runner {

// The layer that predicts a second token, behind the main ones, whatever its parts are.
inline constexpr std::string_view kMtpGroup = "mtp layer";

// {"experts", "int4 g32 (compressed-tensors)", 8832, …}.
struct FormatGroup {
  std::string group;   // "embeddings", "attention", "experts", "shared experts", "dense mlp", …
  std::string format;  // "bf16", "int4 g32 (compressed-tensors)"
  std::uint64_t modules = 0;
  std::uint64_t parameters = 0;  // weights that are stored, scales and zero points not among them
  std::uint64_t bytes = 0;       // of all tensors of the modules
};

// Matrices of a quantized checkpoint that are not quantized.
struct UnquantizedGroup {
  std::string group;
  std::uint64_t modules = 0;
  std::uint64_t of = 0;  // matrices of the group
  std::string layers;    // "0-2, 46"; empty outside layers
  std::string first;     // by name
};

struct StoredFormats {
  std::string summary;                        // the format of most weights; empty without any
  std::vector<FormatGroup> groups;            // largest first, the MTP layer last
  std::vector<UnquantizedGroup> unquantized;  // empty where nothing is quantized
  std::uint64_t parameters = 0;               // outside the MTP layer
  bool has_mtp = false;                       // a whole MTP layer
  std::vector<std::string> notes;
  std::optional<Error> refusal;  // why the first module that is needed cannot be read
};

// `layers` is the number of main layers. Errc::corrupt names a module whose tensors are damaged.
Result<StoredFormats> stored_formats(const Checkpoint& checkpoint, const Quantization& quantization,
                                     std::int64_t layers);

}  // namespace glm::runner
