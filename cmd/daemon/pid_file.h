// $GLM_HOME/daemon.pid: who serves this store. Held under a lock for the daemon's life, so that a
// file left by a crash is never mistaken for a daemon. Beside it daemon.host says where it listens.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>

#include "base/fd.h"
#include "base/result.h"

namespace glm::daemon {

class PidFile {
 public:
  // Errc::already_exists names the process that holds it, and its address.
  static Result<PidFile> acquire(const std::filesystem::path& path, const std::string& address);

  // Errc::already_exists, as acquire() has it, where a daemon holds it that listens elsewhere.
  static Status check_not_elsewhere(const std::filesystem::path& path, const std::string& address);

  // The process that holds it; nullopt when nobody does.
  static std::optional<pid_t> holder(const std::filesystem::path& path);

  PidFile(PidFile&&) noexcept = default;
  PidFile& operator=(PidFile&&) = delete;
  ~PidFile();  // removes the files

 private:
  PidFile(std::filesystem::path path, Fd fd) : path_(std::move(path)), fd_(std::move(fd)) {}

  std::filesystem::path path_;
  Fd fd_;
};

}  // namespace glm::daemon
