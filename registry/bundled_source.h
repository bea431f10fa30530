// Models that ship with the program, as a Source: a folder of folders, each with a SHA256SUMS.
// They go through the same verifying, storing and detecting as a download.
#pragma once

#include <filesystem>

#include "registry/source.h"

namespace glm::registry {

class BundledSource final : public Source {
 public:
  explicit BundledSource(std::filesystem::path bundles) : bundles_(std::move(bundles)) {}

  // "bundled:<folder>"; the revision is ignored, the commit is the digest of SHA256SUMS.
  Result<Snapshot> resolve(const std::string& repository, const std::string& revision,
                           std::stop_token stop) override;
  Status read(const Snapshot& snapshot, const RemoteFile& file, std::uint64_t first,
              std::uint64_t end, const ByteSink& sink, std::stop_token stop) override;
  int connections() const override { return 1; }

 private:
  Result<std::filesystem::path> folder_of(const std::string& repository) const;

  std::filesystem::path bundles_;
};

}  // namespace glm::registry
