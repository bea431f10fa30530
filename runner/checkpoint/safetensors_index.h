// model.safetensors.index.json: which tensor is in which file.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "base/result.h"

namespace glm::runner {

inline constexpr std::string_view kSafetensorsIndexFile = "model.safetensors.index.json";
inline constexpr std::uint64_t kSafetensorsIndexMaxBytes = 100'000'000;

using SafetensorsIndex = std::map<std::string, std::string, std::less<>>;  // tensor -> file

// Errc::corrupt for anything but plain file names that end in .safetensors; never empty. The rest
// of the file (total_size, which is wrong in many) decides nothing.
Result<SafetensorsIndex> parse_safetensors_index(std::string_view json);

}  // namespace glm::runner
