#include "runner/load_check.h"

#include "runner/device_choice.h"
#include "runner/models/registry.h"
#include "runner/plan/this_machine.h"

namespace glm::runner {
namespace {

HardwareFacts emptied(HardwareFacts facts) {
  facts.memory_free_bytes = facts.memory_total_bytes;
  facts.unopened_bytes = 0;
  return facts;
}

}  // namespace

RunOverrides overrides_of(const LoadFrame& request) {
  RunOverrides overrides{.context_max = request.context_max, .alternatives = {}};
  for (const auto& [name, bytes] : request.alternatives) {
    overrides.alternatives.push_back({.name = name, .weight_bytes = bytes});
  }
  return overrides;
}

Status check_load(const LoadFrame& request) {
  const DeviceChoice device = GLM_TRY(choose_device(request.device));
  const kernels::KvFormat kv_format = GLM_TRY(parse_kv_cache_type(request.kv_cache_type));
  CheckpointFiles files;
  for (const auto& [path, file] : request.files) files.emplace(path, file);
  const ModelFacts facts = GLM_TRY(inspect(files));
  GLM_TRY(check_kv_format(facts, kv_format));
  const bool cpu = device.name == "cpu";
  const HardwareFacts hardware = emptied(cpu ? find_cpu() : full_gpu(device.index));
  const ModelNeeds needs = needs_of(facts, cpu ? Backend::cpu : Backend::cuda, kv_format);
  GLM_TRY(plan(needs, hardware, overrides_of(request)).with("also with nothing else loaded"));
  return Ok{};
}

}  // namespace glm::runner
