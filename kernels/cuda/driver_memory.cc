// Memory of a GPU as the driver's management library tells it: without a context, which takes some
// hundreds of megabytes, so that there are numbers to give where not even that fits. The library is
// part of the driver and is looked for at run time.
#include <cuda_runtime_api.h>
#include <dlfcn.h>

#include "base/handle.h"
#include "kernels/device_info.h"

namespace glm::kernels {
namespace {

struct LibraryTraits {
  using Raw = void*;
  static constexpr Raw kEmpty = nullptr;
  static void close(Raw library) { (void)dlclose(library); }
};
using Library = Handle<LibraryTraits>;

// nvml.h, as far as it is needed here: its functions return 0 when they succeed.
struct NvmlMemory {
  unsigned long long total;
  unsigned long long free;
  unsigned long long used;
};
using NvmlDevice = struct NvmlDeviceObject*;

template <typename Function>
Function* find(const Library& library, const char* name) {
  return reinterpret_cast<Function*>(dlsym(library.get(), name));
}

}  // namespace

DeviceMemory driver_memory(int device_index) {
  char bus_id[32] = {};
  if (cudaDeviceGetPCIBusId(bus_id, sizeof(bus_id), device_index) != cudaSuccess) {
    (void)cudaGetLastError();
    return {};
  }
  const Library library(dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL));
  if (!library) return {};
  auto* init = find<int()>(library, "nvmlInit_v2");
  auto* shutdown = find<int()>(library, "nvmlShutdown");
  auto* by_bus_id =
      find<int(const char*, NvmlDevice*)>(library, "nvmlDeviceGetHandleByPciBusId_v2");
  auto* memory_info = find<int(NvmlDevice, NvmlMemory*)>(library, "nvmlDeviceGetMemoryInfo");
  if (init == nullptr || shutdown == nullptr || by_bus_id == nullptr || memory_info == nullptr ||
      init() != 0) {
    return {};
  }
  NvmlDevice device = nullptr;
  NvmlMemory memory = {};
  const bool told = by_bus_id(bus_id, &device) == 0 && memory_info(device, &memory) == 0;
  (void)shutdown();
  if (!told) return {};
  return {.total_bytes = memory.total, .free_bytes = memory.free};
}

}  // namespace glm::kernels
