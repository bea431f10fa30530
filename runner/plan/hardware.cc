#include "runner/plan/hardware.h"

#include <algorithm>
#include <array>
#include <vector>

#include "base/spelling.h"

namespace glm::runner {
namespace {

constexpr auto kDevice = MemoryKind::of_a_device;
constexpr auto kUnified = MemoryKind::unified;

constexpr std::array<KnownHardware, 21> kKnown = {{
    {"rtx-5080", "NVIDIA GeForce RTX 5080", kDevice, 16'303, 960, 12, 0},
    {"rtx-5070-ti", "NVIDIA GeForce RTX 5070 Ti", kDevice, 16'303, 896, 12, 0},
    {"rtx-4080", "NVIDIA GeForce RTX 4080", kDevice, 16'376, 717, 8, 9},
    {"rtx-4060-ti", "NVIDIA GeForce RTX 4060 Ti 16GB", kDevice, 16'380, 288, 8, 9},
    {"l4", "NVIDIA L4", kDevice, 23'034, 300, 8, 9},
    {"rtx-4090", "NVIDIA GeForce RTX 4090", kDevice, 24'564, 1'008, 8, 9},
    {"rtx-3090-ti", "NVIDIA GeForce RTX 3090 Ti", kDevice, 24'564, 1'008, 8, 6},
    {"rtx-3090", "NVIDIA GeForce RTX 3090", kDevice, 24'576, 936, 8, 6},
    {"rtx-5090", "NVIDIA GeForce RTX 5090", kDevice, 32'607, 1'792, 12, 0},
    {"a100-40gb", "NVIDIA A100 40GB", kDevice, 40'960, 1'555, 8, 0},
    {"l40s", "NVIDIA L40S", kDevice, 46'068, 864, 8, 9},
    {"rtx-a6000", "NVIDIA RTX A6000", kDevice, 49'140, 768, 8, 6},
    {"rtx-6000-ada", "NVIDIA RTX 6000 Ada Generation", kDevice, 49'140, 960, 8, 9},
    {"h100-pcie", "NVIDIA H100 PCIe", kDevice, 81'559, 2'039, 9, 0},
    {"h100", "NVIDIA H100 80GB HBM3", kDevice, 81'559, 3'350, 9, 0},
    {"a100", "NVIDIA A100 80GB", kDevice, 81'920, 2'039, 8, 0},
    {"h100-nvl", "NVIDIA H100 NVL", kDevice, 95'830, 3'938, 9, 0},
    {"rtx-pro-6000", "NVIDIA RTX PRO 6000 Blackwell", kDevice, 97'887, 1'792, 12, 0},
    {"dgx-spark", "NVIDIA DGX Spark (GB10)", kUnified, 122'572, 273, 12, 1},
    {"h200", "NVIDIA H200", kDevice, 143'771, 4'800, 9, 0},
    {"b200", "NVIDIA B200", kDevice, 183'359, 8'000, 10, 0},
}};

// A CUDA context has about half of it on the large cards; the rest is a desktop's.
constexpr std::uint64_t kTakenBytes = 800U << 20U;

}  // namespace

std::span<const KnownHardware> known_hardware() {
  return kKnown;
}

HardwareFacts facts_of(const KnownHardware& row) {
  HardwareFacts facts;
  facts.device = "cuda:0";
  facts.name = row.name;
  facts.memory = row.memory;
  facts.memory_total_bytes = row.memory_mib << 20U;
  facts.memory_free_bytes = facts.memory_total_bytes - kTakenBytes;
  facts.bandwidth_bytes_per_s = row.bandwidth_gb_per_s * 1e9;
  facts.compute_major = row.compute_major;
  facts.compute_minor = row.compute_minor;
  return facts;
}

HardwareFacts without_promised(HardwareFacts facts, std::uint64_t promised_bytes) {
  if (!facts.is_gpu()) facts.memory_free_bytes -= std::min(facts.memory_free_bytes, promised_bytes);
  return facts;
}

Result<HardwareFacts> hardware_named(std::string_view key) {
  std::vector<std::string_view> keys;
  std::string all;
  for (const KnownHardware& row : kKnown) {
    if (row.key == key) return facts_of(row);
    keys.push_back(row.key);
    all += (all.empty() ? "" : ", ") + std::string(row.key);
  }
  return make_error(Errc::invalid_argument, "no hardware '{}' is known{}; known are {}", key,
                    did_you_mean(key, keys), all);
}

}  // namespace glm::runner
