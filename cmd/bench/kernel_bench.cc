#include "cmd/bench/kernel_bench.h"
namespace glm::bench {
Status measure_kernels(const KernelOptions&, Output&) {
  return Ok{};
}
}  // namespace glm::bench
