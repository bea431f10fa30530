#include "runner/models/registry.h"

#include <array>
#include <charconv>

#include "base/check.h"
#include "base/units.h"
#include "kernels/ops.h"
#include "runner/checkpoint/checkpoint.h"
#include "runner/models/glm4_moe.h"
#include "runner/models/glm4_moe_lite.h"

namespace glm::runner {
namespace {

struct ArchitectureRow {
  std::string_view model_type;
  Result<std::unique_ptr<Model>> (*load)(const Checkpoint&, ModelFacts,
                                         std::unique_ptr<kernels::Ops>, const LoadOptions&);
};

// What is known but does not run yet is in runner/checkpoint/architectures.cc.
constexpr std::array<ArchitectureRow, 2> kArchitectures = {{
    {"glm4_moe_lite", &load_glm4_moe_lite},
    {"glm4_moe", &load_glm4_moe},
}};

Result<std::unique_ptr<kernels::Ops>> open_device(const LoadOptions& options) {
  if (options.device == "cpu") return kernels::make_cpu_ops(options.threads);
  constexpr std::string_view kCuda = "cuda:";
  const std::string_view device = options.device;
  if (device.starts_with(kCuda)) {
    const std::string_view number = device.substr(kCuda.size());
    int index = -1;
    const auto [end, code] = std::from_chars(number.data(), number.data() + number.size(), index);
    if (code == std::errc() && end == number.data() + number.size() && index >= 0) {
      return kernels::make_cuda_ops(index);
    }
  }
  return make_error(Errc::invalid_argument, "device '{}': wanted cpu or cuda:N, such as cuda:0",
                    device);
}

Result<std::unique_ptr<kernels::Ops>> open_backend(const LoadOptions& options) {
  std::unique_ptr<kernels::Ops> ops = GLM_TRY(open_device(options));
  if (options.wrap_ops) ops = options.wrap_ops(std::move(ops));
  return ops;
}

// Said before the first weight is read rather than after minutes.
Status check_room(const kernels::Ops& ops, const ModelFacts& facts) {
  const std::uint64_t free_bytes = ops.memory_free();
  if (free_bytes == 0 || facts.weight_bytes <= free_bytes) return Ok{};
  return make_error(Errc::exhausted,
                    "the weights take {}, the {} backend has {} free; stop what else uses that "
                    "memory, take the model in a format of fewer bits, or another device",
                    format_bytes(facts.weight_bytes), ops.backend(), format_bytes(free_bytes));
}

}  // namespace

Result<std::unique_ptr<Model>> load_model(const CheckpointFiles& files,
                                          const LoadOptions& options) {
  ModelFacts facts = GLM_TRY(inspect(files));
  const Checkpoint checkpoint = GLM_TRY(Checkpoint::open(files));
  for (const ArchitectureRow& row : kArchitectures) {
    if (row.model_type != facts.architecture) continue;
    std::unique_ptr<kernels::Ops> ops = GLM_TRY(open_backend(options));
    GLM_TRY(check_room(*ops, facts));
    return row.load(checkpoint, std::move(facts), std::move(ops), options);
  }
  return make_error(Errc::internal, "architecture '{}' passed inspection but has no loader",
                    facts.architecture);
}

Result<kernels::KvFormat> parse_kv_cache_type(std::string_view text) {
  if (text == "bf16") return kernels::KvFormat::plain;
  if (text == "fp8") return kernels::KvFormat::fp8_latent;
  return make_error(Errc::invalid_argument, "kv_cache_type wants bf16 or fp8, got '{}'", text);
}

std::vector<std::string_view> supported_architectures() {
  std::vector<std::string_view> names;
  for (const ArchitectureRow& row : kArchitectures) names.push_back(row.model_type);
  return names;
}

}  // namespace glm::runner
