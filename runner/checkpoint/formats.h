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
#include <vector>

#include "base/result.h"
#include "kernels/weight_format.h"
#include "runner/checkpoint/checkpoint.h"
#include "runner/checkpoint/quantization.h"

namespace glm::runner {

struct FileFormat;

struct WeightShape {
  std::int64_t rows = 0;  // outputs
  std::int64_t cols = 0;  // inputs
};

// How one module ("model.layers.3.mlp.experts.7.up_proj") is stored.
struct StoredWeight {
  const FileFormat* format = nullptr;
  kernels::WeightLayout layout;
  std::string label;  // "bf16", "int4 g32 (compressed-tensors)"
  // The tensor that is the weight just as memory has it, where there is one: it may be copied in
  // pieces.
  const TensorInfo* plain = nullptr;
};

// What is asked about a module. With its shape the answer is exact; without, and without the data
// of the checkpoint, packed rows are taken to be full and the configuration is believed about the
// order of columns.
struct ModuleQuery {
  const Checkpoint& checkpoint;
  std::string module;
  ModuleScheme scheme;  // what the configuration says about it
  std::optional<WeightShape> shape = {};
};

// Memory for one weight, of the sizes its layout tells.
using WeightMemory = kernels::WeightParts<std::span<std::byte>>;

struct WeightRead {
  const Checkpoint& checkpoint;
  std::string module;
  ModuleScheme scheme;
  kernels::WeightLayout layout;
  WeightMemory target;
  std::vector<std::string>* notes = nullptr;  // oddities that do not stop the reading; may be null
};

struct FileFormat {
  std::string_view name;

  // No value: these tensors are another format's. Errc::corrupt, unsupported: they are this
  // format's, but damaged, at odds with the configuration, or of a variant that cannot be read.
  Result<std::optional<StoredWeight>> (*detect)(const ModuleQuery& query);
  Status (*read)(const WeightRead& read);
};

// Errc::not_found: the module has no tensors. Errc::unsupported: it is stored in a format that is
// recognised but not read, or not recognised at all.
Result<StoredWeight> detect_format(const ModuleQuery& query);

// What a format that is not read is called, as far as its tensors tell; empty otherwise.
std::string_view recognised_format(const Checkpoint& checkpoint, const std::string& module);

// Reads a whole weight. What the headers could not tell is checked here.
Status read_weight(const StoredWeight& stored, const WeightRead& read);

}  // namespace glm::runner
