// A model, from a name at a source to a published manifest in the store.
//
// Order: list, small files, ask whether the model can run, look whether the disk has room, weights,
// one transaction. Until that nothing is visible; whatever arrived is used by the next attempt.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <stop_token>
#include <string>

#include "base/result.h"
#include "registry/download.h"
#include "registry/source.h"
#include "store/store.h"

namespace glm::registry {

struct PullRequest {
  std::string name;       // under which it is published
  std::string source;     // repository, as the Source understands it
  std::string revision;   // "main"
  std::string modelfile;  // text kept with the model; may be empty
  DownloadOptions download;
};

struct PullProgress {
  std::string status;  // "pulling manifest", "pulling <12 hex>", "verifying sha256 digest", …
  std::string digest;  // "sha256:…", of a file
  std::string file;
  std::uint64_t total_bytes = 0;
  std::uint64_t completed_bytes = 0;  // with what was there before
};

using FilesOnDisk = std::map<std::string, std::filesystem::path>;

// What decides whether files are a model; this folder only moves bytes.
struct Inspector {
  // Looks at the small files before the weights are fetched: why the model is refused, if it is.
  std::function<Status(const FilesOnDisk& small_files)> accept;
  // Looks at everything before it is published: the summary to keep with the model.
  std::function<Result<std::string>(const FilesOnDisk& files)> describe;
};

// Errors: of the source, the store and the inspector, and Errc::cancelled.
Result<store::Manifest> pull(store::Store& store, Source& source, const PullRequest& request,
                             const Inspector& inspector,
                             const std::function<void(const PullProgress&)>& progress,
                             std::stop_token stop);

}  // namespace glm::registry
