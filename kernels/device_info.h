// Which compute backends this program was built with, and which devices it finds.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "kernels/device_memory.h"

namespace glm::kernels {

struct DeviceInfo {
  int index = 0;
  std::string name;
  int compute_major = 0;
  int compute_minor = 0;
  int multiprocessors = 0;
  std::uint64_t memory_total_bytes = 0;
  std::uint64_t memory_free_bytes = 0;
  bool unified = false;  // its memory is the host's
  std::uint64_t l2_bytes = 0;
  int driver_version = 0;   // 13000 for 13.0: the newest CUDA the driver speaks
  int runtime_version = 0;  // what this program was built with
};

// "cpu" or "cpu, cuda".
std::string_view backends();

// Empty: no driver, or a driver without devices. Errc::device: a driver is there but fails, with
// its own words. Creates a context on each device: call it in a process that may end soon.
Result<std::vector<DeviceInfo>> probe_devices();

// How many there are, without touching any: no context is created. 0 without a driver.
Result<int> count_devices();

// What the driver says of a GPU's memory without creating a context on it. All zero where it says
// nothing: on devices that have none but the host's, and where its management library is missing.
DeviceMemory driver_memory(int device_index);

// Runs a small kernel on the device and checks every number that comes back.
// Errc::device if it fails or is wrong, Errc::unsupported if the CUDA backend is not built in.
Status self_test(int device_index);

}  // namespace glm::kernels
