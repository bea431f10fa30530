// The plan for a model, in JSON: what POST /api/show adds where the body asks for it, and what `glm
// show --plan` makes of a folder by itself.
//
//   "plan": {"hardware": {…}, "num_ctx": 8192}      hardware as runner/plan/hardware_json.h
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string_view>

#include "base/result.h"
#include "modelfiles/modelfile.h"
#include "runner/checkpoint/model_facts.h"
#include "runner/plan/run_plan.h"

namespace glm::api {

struct PlanRequest {
  runner::HardwareFacts hardware;
  std::int64_t context_max = 0;  // 0: the Modelfile's, or as much as fits
};

// nullopt: none is asked for. Errc::invalid_argument names the field.
Result<std::optional<PlanRequest>> plan_request(const nlohmann::ordered_json& body);

// {"device", "hardware", "memory": {…}, "context_max", …, "lines": [{"name", "value",
// "reason"}]}. Context and format of the pages are the Modelfile's where the request says nothing.
// Errc::exhausted where there is no room, with the message a load would give; the refusal of a
// model that cannot run, or not with such pages.
Result<nlohmann::ordered_json> plan_answer(const PlanRequest& request,
                                           const runner::ModelFacts& facts,
                                           const modelfiles::Modelfile& modelfile,
                                           std::string_view repository);

}  // namespace glm::api
