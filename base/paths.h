// Where things are: the user's state ($GLM_HOME) and the program's own files (catalog, tiny model).
#pragma once

#include <filesystem>
#include <string>

#include "base/result.h"

namespace glm {

// $GLM_HOME, default ~/.glm; absolute, not created. Errc::invalid_argument when neither GLM_HOME
// nor HOME tells.
Result<std::filesystem::path> glm_home();

// The same folder, created (0700) where there is none. Errc::invalid_argument where a file is in
// the way, permission and others of the system.
Result<std::filesystem::path> make_glm_home();

// The folder with catalog/, presets/ and models/: <dir of the program>/../share/glm, which holds
// in the build tree, in an installation and in a relocated bundle. Errc::not_found otherwise.
Result<std::filesystem::path> resource_dir();

// The running program's own file.
Result<std::filesystem::path> executable_path();

// The value of an environment variable; empty when unset.
std::string env_or_empty(const char* variable);

// The whole of a small file, or of a pipe (a shell's <(command)). Errc::not_found, permission or
// exhausted (larger than size_max_bytes).
Result<std::string> read_file(const std::filesystem::path& path,
                              std::uint64_t size_max_bytes = 64ull << 20);

}  // namespace glm
