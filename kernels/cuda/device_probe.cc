#include <cuda_runtime_api.h>

#include "kernels/cuda/cuda_error.h"
#include "kernels/cuda/launch.h"
#include "kernels/device_info.h"
#include "kernels/ops.h"

namespace glm::kernels {
namespace {

using cuda::cuda_error;

std::string version(int number) {
  return fmt::format("{}.{}", number / 1000, number % 1000 / 10);
}

// Zero where there is no driver or no device.
Result<int> device_count() {
  int driver = 0;
  int runtime = 0;
  (void)cudaDriverGetVersion(&driver);  // stays 0 where no driver is installed
  (void)cudaRuntimeGetVersion(&runtime);
  if (driver == 0) return 0;
  int count = 0;
  const cudaError_t code = cudaGetDeviceCount(&count);
  if (code == cudaSuccess) return count;
  if (code == cudaErrorNoDevice) return 0;
  if (code == cudaErrorInsufficientDriver) {
    return make_error(Errc::device,
                      "the NVIDIA driver is too old: it supports CUDA {}, this program needs {}; "
                      "update the driver",
                      version(driver), version(runtime));
  }
  return cuda_error("count GPUs", code);
}

Result<DeviceInfo> probe(int index) {
  const auto attempt = [&](std::string_view what) {
    return fmt::format("GPU {}: {}", index, what);
  };
  cudaDeviceProp properties = {};
  if (auto code = cudaGetDeviceProperties(&properties, index); code != cudaSuccess) {
    return cuda_error(attempt("read properties"), code);
  }
  DeviceInfo info;
  info.index = index;
  info.name = properties.name;
  info.compute_major = properties.major;
  info.compute_minor = properties.minor;
  info.unified = properties.integrated != 0;
  info.multiprocessors = properties.multiProcessorCount;
  info.l2_bytes = static_cast<std::uint64_t>(properties.l2CacheSize);
  (void)cudaDriverGetVersion(&info.driver_version);
  (void)cudaRuntimeGetVersion(&info.runtime_version);
  if (auto code = cudaSetDevice(index); code == cudaErrorMemoryAllocation) {
    // Too full for a context: what is left of it is known all the same.
    (void)cudaGetLastError();
    info.memory_total_bytes = properties.totalGlobalMem;
    info.memory_free_bytes = driver_memory(index).free_bytes;
    return info;
  } else if (code != cudaSuccess) {
    return cuda_error(attempt("select"), code);
  }
  std::size_t free_bytes = 0;
  std::size_t total_bytes = 0;
  if (auto code = cudaMemGetInfo(&free_bytes, &total_bytes); code != cudaSuccess) {
    return cuda_error(attempt("ask for free memory"), code);
  }
  info.memory_free_bytes = free_bytes;
  info.memory_total_bytes = total_bytes;
  return info;
}

}  // namespace

std::string_view backends() {
  return "cpu, cuda";
}

Result<int> count_devices() {
  return device_count();
}

Result<std::vector<DeviceInfo>> probe_devices() {
  const int count = GLM_TRY(device_count());
  std::vector<DeviceInfo> devices;
  for (int index = 0; index < count; ++index) devices.push_back(GLM_TRY(probe(index)));
  return devices;
}

Status self_test(int device_index) {
  const std::string attempt = fmt::format("self-test of GPU {}", device_index);
  const int count = GLM_TRY(device_count().with(attempt));
  if (device_index < 0 || device_index >= count) {
    return make_error(Errc::device, "{}: there are {} GPUs", attempt, count);
  }
  const auto ops = GLM_TRY(make_cuda_ops(device_index).with(attempt));
  constexpr std::uint32_t kCount = 1'000'003;  // no multiple of any block
  constexpr std::uint32_t kSalt = 0x5EED;
  std::vector<std::uint32_t> numbers(kCount);
  const Buffer memory = GLM_TRY(ops->allocate(kCount * sizeof(std::uint32_t)).with(attempt));
  ops->upload(memory.data(), std::as_bytes(std::span<const std::uint32_t>(numbers)));
  GLM_TRY(ops->sync().with(attempt));
  const cudaError_t code = cuda::launch_self_test(
      {.numbers = static_cast<std::uint32_t*>(memory.data()), .count = kCount, .salt = kSalt},
      nullptr);
  if (code != cudaSuccess) return cuda_error(attempt + ": launch", code);
  if (const cudaError_t done = cudaDeviceSynchronize(); done != cudaSuccess) {
    return cuda_error(attempt + ": run", done);
  }
  ops->download(std::as_writable_bytes(std::span(numbers)), memory.data());
  GLM_TRY(ops->sync().with(attempt));
  for (std::uint32_t i = 0; i < kCount; ++i) {
    const std::uint32_t want = i * 2654435761U + kSalt;
    if (numbers[i] == want) continue;
    return make_error(Errc::device, "{}: number {} came back as {}, wanted {}", attempt, i,
                      numbers[i], want);
  }
  return Ok{};
}

}  // namespace glm::kernels
