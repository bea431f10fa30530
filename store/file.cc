#include "store/file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "base/errno_error.h"

namespace glm::store {

Status write_all(int fd, std::span<const std::byte> bytes, const std::filesystem::path& path) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) {
      Error error = errno_error("write", path, errno);
      if (error.code == Errc::exhausted) {
        error.message += "; make room, or set GLM_HOME to a folder on another disk";
      }
      return error;
    }
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  return Ok{};
}

Status sync_file(int fd, const std::filesystem::path& path) {
  if (::fsync(fd) != 0) return errno_error("sync", path, errno);
  return Ok{};
}

Status sync_folder(const std::filesystem::path& folder) {
  const Fd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return errno_error("open", folder, errno);
  // Some network file systems cannot sync a folder; they order renames themselves.
  if (::fsync(fd.get()) != 0 && errno != EINVAL && errno != ENOTSUP) {
    return errno_error("sync", folder, errno);
  }
  return Ok{};
}

}  // namespace glm::store
