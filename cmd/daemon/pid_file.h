// $GLM_HOME/daemon.pid: who serves this store. Held under a lock for the daemon's life, so that a
// file left by a crash is never mistaken for a daemon.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>

#include "base/fd.h"
#include "base/result.h"

namespace glm::daemon {

class PidFile {
 public:
  // Errc::already_exists names the process that holds it.
  static Result<PidFile> acquire(const std::filesystem::path& path);

  // The process that holds it; nullopt when nobody does.
  static std::optional<pid_t> holder(const std::filesystem::path& path);

  PidFile(PidFile&&) noexcept = default;
  PidFile& operator=(PidFile&&) = delete;
  ~PidFile();  // removes the file

 private:
  PidFile(std::filesystem::path path, Fd fd) : path_(std::move(path)), fd_(std::move(fd)) {}

  std::filesystem::path path_;
  Fd fd_;
};

}  // namespace glm::daemon
