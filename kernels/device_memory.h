// How much memory a device has and could still give.
#pragma once

#include <cstdint>
#include <filesystem>

namespace glm::kernels {

// Zero where it is not known.
struct DeviceMemory {
  std::uint64_t total_bytes = 0;
  std::uint64_t free_bytes = 0;  // what could still be allocated; others may be using it as well
  bool unified = false;          // of a device that has none but the host's
};

// The memory of this machine: free is what the system calls available, which counts what it keeps
// of files and could read again, but no swap. In a container with a limit (cgroup v2) both numbers
// are bounded by it. `root` is where /proc and /sys are; for tests.
DeviceMemory host_memory(const std::filesystem::path& root = "/");

}  // namespace glm::kernels
