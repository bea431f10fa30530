#include <algorithm>
#include <fstream>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

#include "kernels/device_memory.h"

namespace glm::kernels {
namespace {

namespace fs = std::filesystem;

// The number behind a name, in lines of both. "MemAvailable:  16384 kB", "inactive_file 4096".
std::uint64_t field(const fs::path& path, std::string_view wanted) {
  std::ifstream file(path);
  std::string name;
  std::uint64_t value = 0;
  while (file >> name >> value) {
    if (name == wanted) return value;
    file.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
  }
  return 0;
}

// Empty where the file is missing or says "max".
std::optional<std::uint64_t> number(const fs::path& path) {
  std::ifstream file(path);
  std::uint64_t value = 0;
  if (file >> value) return value;
  return std::nullopt;
}

}  // namespace

DeviceMemory host_memory(const fs::path& root) {
  const fs::path meminfo = root / "proc/meminfo";
  DeviceMemory memory{.total_bytes = field(meminfo, "MemTotal:") * 1024,
                      .free_bytes = field(meminfo, "MemAvailable:") * 1024};
  const fs::path group = root / "sys/fs/cgroup";
  const std::optional<std::uint64_t> limit = number(group / "memory.max");
  if (!limit || memory.total_bytes == 0 || *limit >= memory.total_bytes) return memory;
  // What is cached of files can be dropped within a group as well.
  const std::uint64_t used = number(group / "memory.current").value_or(0);
  const std::uint64_t held = used - std::min(used, field(group / "memory.stat", "inactive_file"));
  memory.total_bytes = *limit;
  memory.free_bytes = std::min(memory.free_bytes, *limit - std::min(*limit, held));
  return memory;
}

}  // namespace glm::kernels
