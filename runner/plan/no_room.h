// The one message for a model that does not fit: what it needs, what there is, and what would fit.
#pragma once

#include <cstdint>

#include "base/result.h"
#include "runner/plan/hardware.h"
#include "runner/plan/memory_needs.h"
#include "runner/plan/run_plan.h"

namespace glm::runner {

struct Shortage {
  std::uint64_t graph_bytes = 0;      // that the plan keeps
  std::uint64_t available_bytes = 0;  // to the whole model
  std::int64_t context = 0;           // tokens that have no room
  std::int64_t context_fits = 0;      // tokens that would have; 0: not enough to be of use
};

// Errc::exhausted.
Error no_room(const ModelNeeds& model, const HardwareFacts& hardware, const Shortage& shortage,
              const RunOverrides& overrides);

}  // namespace glm::runner
