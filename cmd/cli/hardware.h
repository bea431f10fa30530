// Which hardware a plan is made for.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "base/result.h"

namespace glm {

// As runner/plan/hardware_json.h has it. Empty: the first GPU of this machine, or its CPU where
// there is none, asked of a runner, so that no context stays in this process. "cpu": this machine's
// CPU. Otherwise a key of the table of known hardware. Errc::device: a GPU is there but fails.
Result<nlohmann::ordered_json> hardware_for_plan(const std::string& key);

}  // namespace glm
