#include "runner/checkpoint/formats.h"

#include <array>

#include "base/check.h"
#include "runner/checkpoint/formats/rows.h"

namespace glm::runner {
namespace {

using kernels::Dtype;

constexpr std::array<FileFormat, 6> kFormats = {{
    {"compressed-tensors pack-quantized", &formats::detect_ct_pack_quantized,
     &formats::read_ct_pack_quantized},
    {"NVFP4 and MXFP4", &formats::detect_fp4, &formats::read_fp4},
    {"FP8 and int8 with scales", &formats::detect_scaled, &formats::read_scaled},
    {"GPTQ", &formats::detect_gptq, &formats::read_gptq},
    {"AWQ", &formats::detect_awq, &formats::read_awq},
    {"plain", &formats::detect_plain, &formats::read_plain},
}};

// Recognised by their tensors, not read yet; the more telling suffix comes first.
struct Fingerprint {
  std::string_view suffix;
  std::optional<Dtype> dtype;  // of that tensor
  std::string_view name;
};
constexpr std::array<Fingerprint, 16> kFingerprints = {{
    {"SCB", {}, "int8 (bitsandbytes)"},
    {"weight.absmax", {}, "4-bit (bitsandbytes)"},
    {"biases", {}, "MLX"},
    {"trellis", {}, "EXL3"},
    {"q_weight", {}, "EXL2"},
    {"W_q", {}, "HQQ"},
    {"gate_up_proj_blocks", {}, "MXFP4 (gpt-oss)"},
    {"compressed", {}, "sparse weights (compressed-tensors)"},
    {"pre_quant_scale", {}, "ModelOpt with scales on the activations"},
    {"weight", Dtype::f8_e5m2, "FP8 (E5M2)"},
    {"weight", Dtype::f8_e4m3, "FP8 without scales"},
    {"weight", Dtype::i8, "int8 without scales"},
    {"weight_packed", {}, "packed weights without scale or shape"},
    {"qweight", {}, "packed weights without scales or zero points"},
    {"weight", Dtype::f64, "64-bit floats"},
    {"weight", {}, "weights of an unexpected dtype or rank"},
}};

struct Recognised {
  std::string_view name;
  const TensorInfo* tensor = nullptr;
};

Recognised recognise(const Checkpoint& checkpoint, const std::string& module) {
  for (const Fingerprint& row : kFingerprints) {
    const TensorInfo* tensor = checkpoint.find(fmt::format("{}.{}", module, row.suffix));
    if (tensor != nullptr && (!row.dtype || *row.dtype == tensor->dtype)) return {row.name, tensor};
  }
  return {};
}

}  // namespace

std::string_view recognised_format(const Checkpoint& checkpoint, const std::string& module) {
  return recognise(checkpoint, module).name;
}

Result<StoredWeight> detect_format(const ModuleQuery& query) {
  for (const FileFormat& format : kFormats) {
    std::optional<StoredWeight> stored = GLM_TRY(format.detect(query));
    if (!stored) continue;
    stored->format = &format;
    return *std::move(stored);
  }
  if (const auto [name, tensor] = recognise(query.checkpoint, query.module); tensor != nullptr) {
    return make_error(Errc::unsupported,
                      "module '{}': {} is not supported (recognised by {}, {}); pull this model "
                      "unquantized, or as compressed-tensors, AWQ, GPTQ, ModelOpt NVFP4 or FP8",
                      query.module, name, tensor->name, describe(*tensor));
  }
  return make_error(Errc::not_found, "module '{}' has no tensors in this checkpoint", query.module);
}

Status read_weight(const StoredWeight& stored, const WeightRead& read) {
  GLM_CHECK(stored.format != nullptr && stored.layout == read.layout);
  for (const kernels::WeightPart part : kernels::kAllWeightParts) {
    GLM_CHECK(static_cast<std::int64_t>(read.target[static_cast<std::size_t>(part)].size()) ==
              stored.layout.bytes(part));
  }
  return stored.format->read(read);
}

}  // namespace glm::runner
