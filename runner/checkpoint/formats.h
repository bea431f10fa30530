// The file formats of weights: one row and one file (formats/<name>.cc) each.
//
// Per module, the tensors that exist decide. A row recognises a module by them, says which memory
// format it becomes (kernels/weight_format.h), and fills that memory.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "kernels/weight_format.h"
#include "runner/checkpoint/checkpoint.h"

namespace glm::runner {

struct FileFormat;

// How one module ("model.layers.3.mlp.experts.7.up_proj") is stored.
struct StoredWeight {
  const FileFormat* format = nullptr;
  kernels::WeightLayout layout;
  std::string label;  // "bf16", "int4 g32 (compressed-tensors)"
};

// Memory for one weight, of the sizes its layout tells.
struct WeightMemory {
  std::span<std::byte> data;
  std::span<std::byte> scales;
};

struct FileFormat {
  std::string_view name;

  // No value: these tensors are another format's. Errc::corrupt, unsupported: they are this
  // format's, but damaged or of a variant that cannot be read.
  Result<std::optional<StoredWeight>> (*detect)(const Checkpoint& checkpoint,
                                                const std::string& module);
  Status (*read)(const Checkpoint& checkpoint, const std::string& module,
                 const kernels::WeightLayout& layout, WeightMemory target);
};

std::span<const FileFormat> file_formats();

// Errc::not_found: the module has no tensors. Errc::unsupported: it is stored in a format that is
// recognised but not read, or not recognised at all.
Result<StoredWeight> detect_format(const Checkpoint& checkpoint, const std::string& module);

Status read_weight(const Checkpoint& checkpoint, const std::string& module,
                   const StoredWeight& stored, WeightMemory target);

}  // namespace glm::runner
