#include "runner/sample/sampling_options.h"

#include <random>

namespace glm::runner {

std::uint64_t fresh_seed() {
  std::random_device device;
  return static_cast<std::uint64_t>(device()) << 32U | device();
}

}  // namespace glm::runner
