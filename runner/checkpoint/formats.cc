#include "runner/checkpoint/formats.h"

#include <array>

#include "base/check.h"
#include "runner/checkpoint/formats/compressed_tensors.h"
#include "runner/checkpoint/formats/plain.h"

namespace glm::runner {
namespace {

using kernels::Dtype;

constexpr std::array<FileFormat, 2> kFormats = {{
    {"compressed-tensors", &compressed_tensors::detect, &compressed_tensors::read},
    {"plain", &plain::detect, &plain::read},
}};

// Recognised by their tensors, not read yet; the more telling suffix comes first.
struct Fingerprint {
  std::string_view suffix;
  std::optional<Dtype> dtype;  // of that tensor
  std::string_view name;
};
constexpr std::array<Fingerprint, 20> kFingerprints = {{
    {"weight_global_scale", {}, "NVFP4 (compressed-tensors)"},
    {"weight_packed", Dtype::u8, "MXFP4 (compressed-tensors)"},
    {"weight_scale_2", {}, "NVFP4 (ModelOpt)"},
    {"weight_scale_inv", {}, "FP8 with block scales"},
    {"weight", Dtype::f8_e4m3, "FP8"},
    {"weight", Dtype::f8_e5m2, "FP8 (E5M2)"},
    {"SCB", {}, "int8 (bitsandbytes)"},
    {"weight.absmax", {}, "4-bit (bitsandbytes)"},
    {"weight", Dtype::i8, "int8"},
    {"biases", {}, "MLX"},
    {"g_idx", {}, "GPTQ"},
    {"qweight", {}, "AWQ or GPTQ"},
    {"trellis", {}, "EXL3"},
    {"q_weight", {}, "EXL2"},
    {"W_q", {}, "HQQ"},
    {"gate_up_proj_blocks", {}, "MXFP4 (gpt-oss)"},
    {"weight_packed", {}, "packed weights without scale or shape"},
    {"compressed", {}, "sparse weights (compressed-tensors)"},
    {"weight", Dtype::f64, "64-bit floats"},
    {"weight", {}, "weights of an unexpected dtype or rank"},
}};

}  // namespace

std::span<const FileFormat> file_formats() {
  return kFormats;
}

Result<StoredWeight> detect_format(const Checkpoint& checkpoint, const std::string& module) {
  for (const FileFormat& format : kFormats) {
    std::optional<StoredWeight> stored = GLM_TRY(format.detect(checkpoint, module));
    if (!stored) continue;
    stored->format = &format;
    return *std::move(stored);
  }
  for (const Fingerprint& row : kFingerprints) {
    const TensorInfo* tensor = checkpoint.find(fmt::format("{}.{}", module, row.suffix));
    if (tensor == nullptr || (row.dtype && *row.dtype != tensor->dtype)) continue;
    return make_error(Errc::unsupported,
                      "module '{}': {} is not supported yet (recognised by {}, {}); unquantized "
                      "and symmetric int4 or int8 compressed-tensors checkpoints are",
                      module, row.name, tensor->name, describe(*tensor));
  }
  return make_error(Errc::not_found, "module '{}' has no tensors in this checkpoint", module);
}

Status read_weight(const Checkpoint& checkpoint, const std::string& module,
                   const StoredWeight& stored, WeightMemory target) {
  GLM_CHECK(stored.format != nullptr);
  GLM_CHECK(static_cast<std::int64_t>(target.data.size()) == stored.layout.data_bytes());
  GLM_CHECK(static_cast<std::int64_t>(target.scales.size()) == stored.layout.scale_bytes());
  return stored.format->read(checkpoint, module, stored.layout, target);
}

}  // namespace glm::runner
