// Whether a load could succeed at all, found out without touching a device or reading a weight, so
// that nothing has to make room for one that cannot.
#pragma once

#include "base/result.h"
#include "runner/frames.h"
#include "runner/plan/run_plan.h"

namespace glm::runner {

// As if nothing else had memory of the device. Errors: those that the load itself would end with.
Status check_load(const LoadFrame& request);

RunOverrides overrides_of(const LoadFrame& request);

}  // namespace glm::runner
