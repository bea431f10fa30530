#include "base/paths.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "base/errno_error.h"
#include "base/fd.h"

namespace glm {
namespace fs = std::filesystem;

std::string env_or_empty(const char* variable) {
  const char* value = std::getenv(variable);
  return value == nullptr ? std::string() : std::string(value);
}

Result<fs::path> glm_home() {
  fs::path home = env_or_empty("GLM_HOME");
  if (home.empty()) {
    const std::string user_home = env_or_empty("HOME");
    if (user_home.empty()) {
      return make_error(Errc::invalid_argument,
                        "neither GLM_HOME nor HOME is set; set GLM_HOME to a folder for models");
    }
    home = fs::path(user_home) / ".glm";
  }
  std::error_code failure;
  fs::path absolute = fs::absolute(home, failure);
  if (failure)
    return make_error(Errc::invalid_argument, "GLM_HOME '{}': {}", home.string(),
                      failure.message());
  return absolute.lexically_normal();
}

namespace {

Error no_home(const fs::path& home, const std::error_code& failure) {
  const std::string attempt =
      env_or_empty("GLM_HOME").empty() ? "create" : "create the folder that GLM_HOME names,";
  if (failure != std::errc::not_a_directory) {
    Error error = errno_error(attempt, home, failure.value());
    error.message += "; set GLM_HOME to another folder";
    return error;
  }
  fs::path file = home;
  std::error_code ignored;
  while (file.has_relative_path() && !fs::exists(file, ignored)) file = file.parent_path();
  return make_error(Errc::invalid_argument,
                    "{} {}: {} is not a folder; move it away, or set GLM_HOME to another folder",
                    attempt, home.string(), file.string());
}

}  // namespace

Result<fs::path> make_glm_home() {
  fs::path home = GLM_TRY(glm_home());
  std::error_code failure;
  if (fs::create_directories(home, failure)) ::chmod(home.c_str(), 0700);
  if (failure) return no_home(home, failure);
  return home;
}

Result<fs::path> executable_path() {
  std::error_code failure;
  fs::path path = fs::read_symlink("/proc/self/exe", failure);
  if (failure) return make_error(Errc::internal, "read /proc/self/exe: {}", failure.message());
  return path;
}

Result<fs::path> resource_dir() {
  const fs::path program = GLM_TRY(executable_path());
  const fs::path share = (program.parent_path() / ".." / "share" / "glm").lexically_normal();
  std::error_code failure;
  if (fs::is_directory(share / "catalog", failure)) return share;
  return make_error(Errc::not_found,
                    "the program's own files are missing: no folder {}; install glm again",
                    (share / "catalog").string());
}

namespace {

// Tells no size beforehand.
Result<std::string> read_pipe(const Fd& fd, const fs::path& path, std::uint64_t size_max_bytes) {
  std::string bytes;
  std::array<char, 64 << 10> buffer;
  while (true) {
    const ssize_t got = ::read(fd.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno_error("read", path, errno);
    if (got == 0) return bytes;
    bytes.append(buffer.data(), static_cast<std::size_t>(got));
    if (bytes.size() > size_max_bytes) {
      return make_error(Errc::exhausted, "read {}: more than the {} bytes that are accepted",
                        path.string(), size_max_bytes);
    }
  }
}

}  // namespace

Result<std::string> read_file(const fs::path& path, std::uint64_t size_max_bytes) {
  const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return errno_error("open", path, errno);
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) return errno_error("stat", path, errno);
  if (S_ISFIFO(info.st_mode)) return read_pipe(fd, path, size_max_bytes);
  if (!S_ISREG(info.st_mode)) {
    return make_error(Errc::invalid_argument, "read {}: not a regular file", path.string());
  }
  if (static_cast<std::uint64_t>(info.st_size) > size_max_bytes) {
    return make_error(Errc::exhausted, "read {}: {} bytes, at most {} are accepted", path.string(),
                      info.st_size, size_max_bytes);
  }
  std::string bytes(static_cast<std::size_t>(info.st_size), '\0');
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t got = ::read(fd.get(), bytes.data() + done, bytes.size() - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno_error("read", path, errno);
    if (got == 0) break;
    done += static_cast<std::size_t>(got);
  }
  bytes.resize(done);
  return bytes;
}

}  // namespace glm
