// A model that is not here, seen from afar: what its small files and the headers of its weights
// say.
#pragma once

#include <cstdint>
#include <filesystem>
#include <stop_token>
#include <string>

#include "base/result.h"
#include "registry/pull.h"
#include "registry/source.h"
#include "runner/checkpoint/checkpoint_files.h"
#include "runner/checkpoint/model_facts.h"

namespace glm::daemon {

// A folder for the small files while somebody looks at them.
class ScratchFolder {
 public:
  static Result<ScratchFolder> create();
  ScratchFolder(ScratchFolder&& other) noexcept : path_(std::move(other.path_)) {
    other.path_.clear();
  }
  ScratchFolder& operator=(ScratchFolder&&) = delete;
  ~ScratchFolder();

  const std::filesystem::path& path() const { return path_; }

 private:
  explicit ScratchFolder(std::filesystem::path path) : path_(std::move(path)) {}
  std::filesystem::path path_;
};

struct RemoteModel {
  registry::PullRequest request;  // what a pull of it would ask for
  registry::Snapshot snapshot;
  std::uint64_t weights_bytes = 0;  // that a pull would fetch
  std::uint64_t bytes_read = 0;     // to find all this out
  ScratchFolder folder;
  runner::CheckpointFiles files;  // the small ones, in the folder
  runner::ModelFacts facts;       // with a refusal if it cannot run
};

// Errors: of the source; Errc::corrupt for files that are not what they should be;
// Errc::unavailable when it takes too long; Errc::cancelled.
Result<RemoteModel> look_at(registry::Source& source, registry::PullRequest request,
                            std::stop_token stop);

}  // namespace glm::daemon
