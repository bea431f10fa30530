// What follows from a model's files alone, in the shape of POST /api/show: the same for a model of
// the store, one on the hub and one in a folder.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "modelfiles/modelfile.h"
#include "runner/checkpoint/checkpoint_files.h"
#include "runner/checkpoint/model_facts.h"

namespace glm::api {

// {"details", "model_info", "capabilities", "template", "license", "parameters", "system"}. What is
// odd about the template is a note in model_info.
nlohmann::ordered_json description(const runner::ModelFacts& facts,
                                   const runner::CheckpointFiles& files,
                                   const modelfiles::Modelfile& modelfile);

// Ollama's `details`, from the JSON of facts; an empty object for what no facts are known of.
nlohmann::ordered_json details(const nlohmann::ordered_json& facts);

}  // namespace glm::api
