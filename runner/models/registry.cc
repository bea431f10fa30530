#include "runner/models/registry.h"

#include <array>
#include <charconv>

#include "base/check.h"
#include "base/units.h"
#include "kernels/ops.h"
#include "runner/models/glm4_moe.h"
#include "runner/models/glm4_moe_lite.h"
#include "runner/plan/memory_needs.h"
#include "runner/plan/this_machine.h"

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

std::optional<int> cuda_index(std::string_view device) {
  constexpr std::string_view kCuda = "cuda:";
  if (!device.starts_with(kCuda)) return std::nullopt;
  const std::string_view number = device.substr(kCuda.size());
  int index = -1;
  const auto [end, code] = std::from_chars(number.data(), number.data() + number.size(), index);
  if (code != std::errc() || end != number.data() + number.size() || index < 0) return std::nullopt;
  return index;
}

Result<std::unique_ptr<kernels::Ops>> open_backend(const LoadOptions& options) {
  std::unique_ptr<kernels::Ops> ops = GLM_TRY(open_device(options));
  if (options.wrap_ops) ops = options.wrap_ops(std::move(ops));
  return ops;
}

// What is wanted of the device, said before the first weight is read rather than after minutes.
Status plan_ahead(const ModelFacts& facts, const kernels::Ops& ops, const LoadOptions& options) {
  const bool cpu = options.device == "cpu";
  const ModelNeeds needs = needs_of(facts, cpu ? Backend::cpu : Backend::cuda, options.kv_format);
  const HardwareFacts hardware =
      without_promised(hardware_of(ops, options.device), options.promised_bytes);
  const RunPlan planned = GLM_TRY(plan(needs, hardware, options.overrides));
  if (options.planned) options.planned(planned, hardware);
  return Ok{};
}

// A GPU so full that not even a context fits: the driver's numbers tell what the model would need.
Error explained(Error failure, const ModelFacts& facts, const LoadOptions& options) {
  const std::optional<int> index = cuda_index(options.device);
  if (failure.code != Errc::exhausted || !index) return failure;
  const HardwareFacts hardware = full_gpu(*index);
  if (hardware.memory_total_bytes == 0) return failure;
  Result<RunPlan> planned =
      plan(needs_of(facts, Backend::cuda, options.kv_format), hardware, options.overrides);
  if (!planned.ok()) return std::move(planned).error().with(failure.message);
  failure.message +=
      fmt::format(", where {} of {} are free", format_bytes(hardware.memory_free_bytes),
                  format_bytes(hardware.memory_total_bytes));
  return failure;
}

}  // namespace

Result<std::unique_ptr<kernels::Ops>> open_device(const LoadOptions& options) {
  if (options.device == "cpu") return kernels::make_cpu_ops(options.threads);
  if (const std::optional<int> index = cuda_index(options.device)) {
    return kernels::make_cuda_ops(*index);
  }
  return make_error(Errc::invalid_argument, "device '{}': wanted cpu or cuda:N, such as cuda:0",
                    options.device);
}

Result<std::unique_ptr<Model>> load_model(const CheckpointFiles& files,
                                          const LoadOptions& options) {
  ModelFacts facts = GLM_TRY(inspect(files));
  return load_model(GLM_TRY(Checkpoint::open(files)), std::move(facts), options);
}

Result<std::unique_ptr<Model>> load_model(const Checkpoint& checkpoint, ModelFacts facts,
                                          const LoadOptions& options) {
  for (const ArchitectureRow& row : kArchitectures) {
    if (row.model_type != facts.architecture) continue;
    GLM_TRY(check_kv_format(facts, options.kv_format));
    Result<std::unique_ptr<kernels::Ops>> opened = open_backend(options);
    if (!opened.ok()) return explained(std::move(opened).error(), facts, options);
    std::unique_ptr<kernels::Ops> ops = *std::move(opened);
    GLM_TRY(plan_ahead(facts, *ops, options));
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

Status check_kv_format(const ModelFacts& facts, kernels::KvFormat format) {
  if (format == kernels::KvFormat::plain || facts.config.mla.kv_rank > 0) return Ok{};
  return make_error(Errc::unsupported,
                    "kv_cache_type fp8: it is for architectures that cache a latent "
                    "(glm4_moe_lite), {} caches keys and values; run it with bf16",
                    facts.architecture);
}

std::vector<std::string_view> supported_architectures() {
  std::vector<std::string_view> names;
  for (const ArchitectureRow& row : kArchitectures) names.push_back(row.model_type);
  return names;
}

}  // namespace glm::runner
