#include "runner/plan/this_machine.h"

#include <thread>

#include "kernels/device_info.h"
#include "kernels/device_memory.h"

namespace glm::runner {
namespace {

// What a CUDA context takes; 541 MiB on an H100.
constexpr std::uint64_t kContextBytes = 550U << 20U;

double bandwidth_of(const std::string& name) {
  for (const KnownHardware& row : known_hardware()) {
    if (row.name == name) return row.bandwidth_gb_per_s * 1e9;
  }
  return 0;
}

}  // namespace

HardwareFacts find_cpu() {
  const kernels::DeviceMemory memory = kernels::host_memory();
  HardwareFacts facts;
  facts.device = "cpu";
  facts.name = fmt::format("{} threads", std::thread::hardware_concurrency());
  facts.memory = MemoryKind::of_the_host;
  facts.memory_total_bytes = memory.total_bytes;
  facts.memory_free_bytes = memory.free_bytes;
  return facts;
}

Result<std::vector<HardwareFacts>> find_hardware() {
  std::vector<HardwareFacts> found;
  const HardwareFacts cpu = find_cpu();
  for (const kernels::DeviceInfo& device : GLM_TRY(kernels::probe_devices())) {
    HardwareFacts facts;
    facts.device = fmt::format("cuda:{}", device.index);
    facts.name = device.name;
    facts.memory = device.unified ? MemoryKind::unified : MemoryKind::of_a_device;
    facts.memory_total_bytes = device.memory_total_bytes;
    facts.memory_free_bytes = device.memory_free_bytes;
    facts.host_free_bytes = device.unified ? 0 : cpu.memory_free_bytes;
    facts.bandwidth_bytes_per_s = bandwidth_of(device.name);
    facts.compute_major = device.compute_major;
    facts.compute_minor = device.compute_minor;
    found.push_back(std::move(facts));
  }
  found.push_back(cpu);
  return found;
}

HardwareFacts full_gpu(int device_index) {
  const kernels::DeviceMemory memory = kernels::driver_memory(device_index);
  HardwareFacts facts;
  facts.device = fmt::format("cuda:{}", device_index);
  facts.memory_total_bytes = memory.total_bytes;
  facts.memory_free_bytes = memory.free_bytes;
  facts.unopened_bytes = kContextBytes;
  facts.host_free_bytes = kernels::host_memory().free_bytes;
  return facts;
}

HardwareFacts hardware_of(const kernels::Ops& ops, const std::string& device) {
  const kernels::DeviceMemory memory = ops.memory();
  HardwareFacts facts;
  facts.device = device;
  facts.memory = device == "cpu"  ? MemoryKind::of_the_host
                 : memory.unified ? MemoryKind::unified
                                  : MemoryKind::of_a_device;
  facts.memory_total_bytes = memory.total_bytes;
  facts.memory_free_bytes = memory.free_bytes;
  if (facts.memory == MemoryKind::of_a_device) {
    facts.host_free_bytes = kernels::host_memory().free_bytes;
  }
  return facts;
}

}  // namespace glm::runner
