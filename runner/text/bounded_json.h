// JSON from strangers and from models: what is nested too deep to be copied or printed is not read.
#pragma once

#include <nlohmann/json.hpp>
#include <string_view>

namespace glm::runner {

inline constexpr int kJsonNestingMax = 200;

// Discarded (is_discarded()) when the text is not JSON, or nested deeper than that.
inline nlohmann::ordered_json parse_bounded_json(std::string_view text) {
  using Json = nlohmann::ordered_json;
  bool deep = false;
  Json json = Json::parse(
      text,
      [&](int depth, Json::parse_event_t, Json&) {
        deep = deep || depth > kJsonNestingMax;
        return !deep;
      },
      false);
  return deep ? Json(Json::value_t::discarded) : json;
}

}  // namespace glm::runner
