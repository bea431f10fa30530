// HardwareFacts as JSON: what `glm runner --probe` prints and who asks for a plan sends.
//
//   {"device": "cuda:0", "name": "NVIDIA H200", "memory": "device", "memory_total_bytes": …,
//    "memory_free_bytes": …, "host_free_bytes": …, "bandwidth_bytes_per_s": …,
//    "compute_capability": "9.0"}
//
// "memory" is "device", "unified" or "host"; what is not known is left out, but for the device and
// how much memory there is. Then memory is the host's for "cpu", else a device's; and all of it is
// free, or no more is known than what is free.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "base/result.h"
#include "runner/plan/hardware.h"

namespace glm::runner {

nlohmann::ordered_json to_json(const HardwareFacts& hardware);

// Errc::invalid_argument names the field.
Result<HardwareFacts> hardware_from_json(const nlohmann::ordered_json& json);

}  // namespace glm::runner
