// Stands in for kernels/cuda where no CUDA toolkit was there to build it, so that no caller asks.
#include "kernels/device_info.h"
#include "kernels/ops.h"

namespace glm::kernels {

std::string_view backends() {
  return "cpu";
}

Result<std::vector<DeviceInfo>> probe_devices() {
  return std::vector<DeviceInfo>();
}

Result<int> count_devices() {
  return 0;
}

DeviceMemory driver_memory(int /*device_index*/) {
  return {};
}

Status self_test(int device_index) {
  return make_error(Errc::unsupported,
                    "self-test of device {}: this program was built without the CUDA backend",
                    device_index);
}

Result<std::unique_ptr<Ops>> make_cuda_ops(int device_index) {
  return make_error(Errc::unsupported,
                    "open GPU {}: this program was built without the CUDA backend", device_index);
}

}  // namespace glm::kernels
