// Turns errno into an Error, with the one code callers branch on.
#pragma once

#include <filesystem>
#include <string_view>

#include "base/result.h"

namespace glm {

// ENOENT -> not_found, EACCES/EPERM/EROFS -> permission, EEXIST -> already_exists,
// EISDIR/ELOOP/ENAMETOOLONG -> invalid_argument, ENOSPC/EDQUOT/EMFILE/ENFILE/ENOMEM/EFBIG ->
// exhausted, else internal.
// "open /x/y: No such file or directory".
Error errno_error(std::string_view attempt, const std::filesystem::path& path, int error_number);

}  // namespace glm
