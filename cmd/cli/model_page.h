// What `glm show` prints of the answer of POST /api/show.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "base/result.h"

namespace glm {

// The page: Model, why it cannot run, Source, Formats, Left unquantized, Capabilities, Notes,
// Parameters, System, License; sections without content are left out.
std::string model_page(const nlohmann::ordered_json& show);

// "info" is the page; "license", "modelfile", "parameters", "system" and "template" are these texts
// alone, ending in a newline. Errc::invalid_argument for another name, not_found when the model has
// no such text.
Result<std::string> model_page_part(const nlohmann::ordered_json& show, std::string_view part);

}  // namespace glm
