#include "cmd/daemon/pid_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <string>

#include "base/errno_error.h"
#include "base/paths.h"

namespace glm::daemon {
namespace {

std::filesystem::path host_file(const std::filesystem::path& path) {
  return path.parent_path() / "daemon.host";
}

Result<Fd> open_file(const std::filesystem::path& path) {
  Fd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644));
  if (!fd) return errno_error("open", path, errno);
  return fd;
}

bool is_named(int fd, const std::filesystem::path& path) {
  struct stat ours {};
  struct stat named {};
  return ::fstat(fd, &ours) == 0 && ::lstat(path.c_str(), &named) == 0 &&
         ours.st_ino == named.st_ino && ours.st_dev == named.st_dev;
}

std::string first_line(const std::filesystem::path& path) {
  const std::string text = read_file(path, 256).value_or("");
  return text.substr(0, text.find('\n'));
}

Error held(const std::filesystem::path& path) {
  const std::string address = first_line(host_file(path));
  const std::string where = address.empty() ? "" : " at " + address;
  const std::string use = address.empty() ? "" : fmt::format("use it with GLM_HOST={}, ", address);
  return make_error(Errc::already_exists,
                    "another daemon (pid {}{}) already serves {}; {}stop it with 'glm stop --all', "
                    "or choose another folder with GLM_HOME",
                    first_line(path), where, path.parent_path().string(), use);
}

Status replace(int fd, const std::string& text, const std::filesystem::path& path) {
  if (::ftruncate(fd, 0) != 0 ||
      ::write(fd, text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    return errno_error("write", path, errno);
  }
  return Ok{};
}

}  // namespace

Result<PidFile> PidFile::acquire(const std::filesystem::path& path, const std::string& address) {
  Fd fd = GLM_TRY(open_file(path));
  const bool locked = ::flock(fd.get(), LOCK_EX | LOCK_NB) == 0;
  // Between opening and locking its last owner may have removed it: the lock must be on the name.
  if (locked && !is_named(fd.get(), path)) return acquire(path, address);
  if (!locked) return held(path);
  const Fd host = GLM_TRY(open_file(host_file(path)));
  GLM_TRY(replace(host.get(), address + "\n", host_file(path)));
  GLM_TRY(replace(fd.get(), std::to_string(::getpid()) + "\n", path));
  return PidFile(path, std::move(fd));
}

Status PidFile::check_not_elsewhere(const std::filesystem::path& path, const std::string& address) {
  if (!holder(path) || first_line(host_file(path)) == address) return Ok{};
  return held(path);
}

std::optional<pid_t> PidFile::holder(const std::filesystem::path& path) {
  const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd || ::flock(fd.get(), LOCK_SH | LOCK_NB) == 0 || errno != EWOULDBLOCK) return std::nullopt;
  const std::string text = read_file(path, 64).value_or("");
  pid_t pid = 0;
  (void)std::from_chars(text.data(), text.data() + text.size(), pid);
  return pid > 0 ? std::optional(pid) : std::nullopt;
}

PidFile::~PidFile() {
  if (!fd_) return;
  ::unlink(host_file(path_).c_str());
  ::unlink(path_.c_str());
}

}  // namespace glm::daemon
