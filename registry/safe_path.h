// Paths from a listing are names inside a repository, and hostile until checked.
#pragma once

#include <string_view>

#include "base/result.h"

namespace glm::registry {

// Errc::corrupt unless the path is relative, made of plain segments ("." and ".." are not), valid
// UTF-8 without control characters or backslashes, and of bearable length.
Status check_path(std::string_view path);

}  // namespace glm::registry
