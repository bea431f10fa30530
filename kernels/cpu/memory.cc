#include "kernels/cpu/memory.h"

#include <fstream>
#include <limits>
#include <string>

namespace glm::kernels::cpu {

std::uint64_t memory_available() {
  std::ifstream file("/proc/meminfo");
  std::string name;
  std::uint64_t size_kib = 0;
  while (file >> name >> size_kib) {
    if (name == "MemAvailable:") return size_kib * 1024;
    file.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
  }
  return 0;
}

}  // namespace glm::kernels::cpu
