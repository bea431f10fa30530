// Golden files and fixtures from the source tree.
#pragma once

#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>

namespace glm::runner {

inline std::string source_file(const std::string& path) {
  std::ifstream file(std::string(GLM_SOURCE_DIR "/") + path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// A discarded value where the file is missing or not JSON.
inline nlohmann::ordered_json source_json(const std::string& path) {
  return nlohmann::ordered_json::parse(source_file(path), nullptr, false);
}

}  // namespace glm::runner
