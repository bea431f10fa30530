#include "base/errno_error.h"

#include <cerrno>
#include <system_error>

namespace glm {
namespace {

Errc code_of(int error_number) {
  switch (error_number) {
    case ENOENT:
    case ENOTDIR:
      return Errc::not_found;
    case EACCES:
    case EPERM:
    case EROFS:
      return Errc::permission;
    case EISDIR:
    case ELOOP:
    case ENAMETOOLONG:
      return Errc::invalid_argument;
    case EEXIST:
      return Errc::already_exists;
    case ENOSPC:
    case EDQUOT:
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case EFBIG:
      return Errc::exhausted;
    default:
      return Errc::internal;
  }
}

}  // namespace

Error errno_error(std::string_view attempt, const std::filesystem::path& path, int error_number) {
  return make_error(code_of(error_number), "{} {}: {}", attempt, path.string(),
                    std::generic_category().message(error_number));
}

}  // namespace glm
