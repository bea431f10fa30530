// A model, from a name at a source to a published manifest in the store.
//
// Order: list, small files, ask whether the model can run, look whether the disk has room, weights,
// one transaction. Until that nothing is visible; whatever arrived is used by the next attempt.
//
// What is in the store already is read again and hashed, and fetched again where it is damaged: the
// new file takes the place of the old one when it is whole. Where the source cannot be asked, a
// model that is here is read all the same, and the error says how it is.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <stop_token>
#include <string>
#include <string_view>

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
  // "pulling manifest"; of a file "verifying <12 hex>", "verified <12 hex>" (it was here) and
  // "pulling <12 hex>"; "<path> is damaged here", "verifying sha256 digest", "trying again: <why>",
  // "waiting for <host> to answer", …
  std::string status;
  std::string digest;  // "sha256:…", of a file
  std::string file;
  std::uint64_t total_bytes = 0;
  std::uint64_t completed_bytes = 0;  // with what was there before
};

// "verifying <12 hex>" and so on: the first 12 digits of its SHA-256, or else of its git id.
PullProgress progress_of(std::string_view what, const RemoteFile& file);

using OnProgress = std::function<void(const PullProgress&)>;
using FilesOnDisk = std::map<std::string, std::filesystem::path>;

// What decides whether files are a model, and who has loaded them; this folder only moves bytes.
struct Inspector {
  // Looks at the small files before the weights are fetched: why the model is refused, if it is.
  std::function<Status(const FilesOnDisk& small_files)> accept;
  // Looks at everything before it is published: the summary to keep with the model.
  std::function<Result<std::string>(const FilesOnDisk& files)> describe;
  // A blob that was damaged was put right. May be empty.
  std::function<void(const store::Digest& digest)> mended = {};
};

// Errors: of the source, the store and the inspector; Errc::corrupt when something is damaged here
// and the source cannot be asked; Errc::cancelled.
Result<store::Manifest> pull(store::Store& store, Source& source, const PullRequest& request,
                             const Inspector& inspector, const OnProgress& progress,
                             std::stop_token stop);

}  // namespace glm::registry
