// What a plan has to know of the device a model is to run on, and a table of devices that people
// have, so that a plan can be made for one that is not here.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace glm::runner {

// Whose memory it is. On the host the rest of the machine wants to live as well; unified memory is
// the host's too, under a GPU.
enum class MemoryKind : std::uint8_t { of_the_host, of_a_device, unified };

struct HardwareFacts {
  std::string device = {};  // "cpu", "cuda:0"
  std::string name = {};    // "NVIDIA H200", "16 cores"; may be empty
  MemoryKind memory = MemoryKind::of_a_device;
  std::uint64_t memory_total_bytes = 0;  // 0: unknown
  std::uint64_t memory_free_bytes = 0;   // 0 with a total of 0: unknown
  std::uint64_t unopened_bytes = 0;      // that opening the device would still take of what is free
  std::uint64_t host_free_bytes = 0;     // beside a GPU; 0: unknown
  double bandwidth_bytes_per_s = 0;      // of its memory, by its maker; 0: unknown
  int compute_major = 0;                 // of a GPU; 0: unknown
  int compute_minor = 0;

  bool is_gpu() const { return memory != MemoryKind::of_the_host; }
};

// The host hands out pages when they are touched. So what others were promised is still free, and
// yet not to be had.
HardwareFacts without_promised(HardwareFacts facts, std::uint64_t promised_bytes);

struct KnownHardware {
  std::string_view key;   // "rtx-4090"
  std::string_view name;  // "NVIDIA GeForce RTX 4090"
  MemoryKind memory = MemoryKind::of_a_device;
  std::uint64_t memory_mib = 0;  // as nvidia-smi shows it
  int bandwidth_gb_per_s = 0;
  int compute_major = 0;
  int compute_minor = 0;
};

// By rising memory.
std::span<const KnownHardware> known_hardware();

// One device of the table, with nothing else running on it: what a CUDA context and a display take
// is off its free memory. Errc::invalid_argument with the nearest key and all keys.
Result<HardwareFacts> hardware_named(std::string_view key);

HardwareFacts facts_of(const KnownHardware& row);

}  // namespace glm::runner
