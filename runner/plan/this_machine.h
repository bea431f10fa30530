// The hardware of the machine this process runs on.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "kernels/ops.h"
#include "runner/plan/hardware.h"

namespace glm::runner {

// Every GPU, and the CPU last. Creates a context on each GPU: call it in a process that may end
// soon. Errc::device: a driver is there but fails.
Result<std::vector<HardwareFacts>> find_hardware();

HardwareFacts find_cpu();

// A GPU that cannot be opened for want of memory, as far as its driver tells.
HardwareFacts full_gpu(int device_index);

// A device that is open, as it is now. `device` is its name: "cuda:0".
HardwareFacts hardware_of(const kernels::Ops& ops, const std::string& device);

}  // namespace glm::runner
