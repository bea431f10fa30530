#include "runner/checkpoint/safetensors_index.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace glm::runner {
namespace {

constexpr std::string_view kFile = kSafetensorsIndexFile;

bool plain_file_name(std::string_view name) {
  const bool odd = std::any_of(name.begin(), name.end(), [](char c) {
    return c == '/' || c == '\\' || static_cast<unsigned char>(c) < 0x20 || c == 0x7F;
  });
  constexpr std::string_view kEnding = ".safetensors";
  return !odd && name.size() > kEnding.size() && name.size() <= 255 && name.front() != '.' &&
         name.substr(name.size() - kEnding.size()) == kEnding;
}

}  // namespace

Result<SafetensorsIndex> parse_safetensors_index(std::string_view json) {
  const auto parsed = nlohmann::json::parse(json, nullptr, false);
  if (!parsed.is_object()) return make_error(Errc::corrupt, "{}: not a JSON object", kFile);
  const auto map = parsed.find("weight_map");
  if (map == parsed.end() || !map->is_object() || map->empty()) {
    return make_error(Errc::corrupt, "{}: weight_map is missing, empty or no object", kFile);
  }
  SafetensorsIndex index;
  for (const auto& [tensor, file] : map->items()) {
    if (!file.is_string() || !plain_file_name(file.get_ref<const std::string&>())) {
      return make_error(Errc::corrupt,
                        "{}: tensor '{}': {} is not a plain file name ending in .safetensors",
                        kFile, tensor, file.dump());
    }
    index.emplace(tensor, file.get<std::string>());
  }
  return index;
}

}  // namespace glm::runner
