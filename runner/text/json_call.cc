#include "runner/text/json_call.h"
#include "runner/text/bounded_json.h"

#include <nlohmann/json.hpp>

namespace glm::runner {

using Json = nlohmann::ordered_json;

std::optional<std::pair<std::string, std::string>> parse_json_call(std::string_view text) {
  const Json json = parse_bounded_json(text);
  if (!json.is_object() || !json.contains("name") || !json["name"].is_string()) return std::nullopt;
  Json arguments = Json::object();
  for (const char* key : {"arguments", "parameters"}) {
    if (!json.contains(key)) continue;
    arguments = json[key];
    if (!arguments.is_string()) continue;
    const std::string inner = arguments.get<std::string>();
    arguments = parse_bounded_json(inner);
  }
  std::string name = json["name"].get<std::string>();
  if (name.empty() || !arguments.is_object()) return std::nullopt;
  return std::pair(std::move(name), arguments.dump());
}

}  // namespace glm::runner
