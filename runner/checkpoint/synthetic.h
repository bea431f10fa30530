// A model that nobody has downloaded: the tensors that a configuration calls for, in the form its
// quantization has in files, filled with random numbers while they are read. Loaders cannot tell it
// from files, and what runs has the speed of the real one, since speed does not depend on the
// numbers. Its answers mean nothing.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "runner/checkpoint/checkpoint.h"
#include "runner/checkpoint/model_facts.h"

namespace glm::runner {

struct Synthetic {
  ModelFacts facts;
  Checkpoint checkpoint;
};

// `layers` 0: all of them; else the first so many. Its MTP layer is left out.
// Errc::invalid_argument for more layers than there are; else as inspect_config() and
// synthetic_layout().
Result<Synthetic> synthesize(const std::string& config_json, std::int64_t layers = 0);

}  // namespace glm::runner
