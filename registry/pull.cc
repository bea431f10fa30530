#include "registry/pull.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/clock.h"
#include "base/paths.h"
#include "registry/select_files.h"

namespace glm::registry {
namespace {

constexpr std::chrono::milliseconds kReportPeriod{100};

class Pull {
 public:
  Pull(store::Store& store, Source& source, const PullRequest& request,
       const std::function<void(const PullProgress&)>& progress, std::stop_token stop)
      : store_(store),
        source_(source),
        request_(request),
        progress_(progress),
        stop_(std::move(stop)) {}

  Result<store::Manifest> run(const Inspector& inspector) {
    say("pulling manifest");
    snapshot_ = GLM_TRY(source_.resolve(request_.source, request_.revision, stop_));
    GLM_TRY(fetch_all(GLM_TRY(select_small(snapshot_))));
    GLM_TRY(inspector.accept(paths_));
    const std::vector<RemoteFile> weights =
        GLM_TRY(select_weights(snapshot_, GLM_TRY(index_text())));
    GLM_TRY(check_room(weights));
    GLM_TRY(fetch_all(weights));
    say("verifying sha256 digest");  // it was, while the bytes came
    std::string facts_json = GLM_TRY(inspector.describe(paths_));
    say("writing manifest");
    store::Manifest manifest;
    manifest.name = request_.name;
    manifest.source = snapshot_.repository;
    manifest.revision = request_.revision;
    manifest.commit = snapshot_.commit;
    manifest.modelfile = request_.modelfile;
    manifest.facts_json = std::move(facts_json);
    manifest.files = std::move(files_);
    manifest.pulled_at = rfc3339(system_clock().wall());
    GLM_TRY(store_.publish(manifest));
    say("success");
    return manifest;
  }

 private:
  void say(std::string status) const {
    PullProgress report;
    report.status = std::move(status);
    progress_(report);
  }

  Status fetch_all(const std::vector<RemoteFile>& files) {
    for (const RemoteFile& file : files) {
      if (stop_.stop_requested()) return make_error(Errc::cancelled, "cancelled");
      GLM_TRY(fetch(file));
    }
    return Ok{};
  }

  Status fetch(const RemoteFile& file) {
    PullProgress report;
    const std::string name = file.sha256 ? file.sha256->hex() : file.git_oid;
    report.status = "pulling " + name.substr(0, 12);
    report.digest = file.sha256 ? file.sha256->str() : "git:" + file.git_oid;
    report.file = file.path;
    report.total_bytes = file.size_bytes;
    std::chrono::steady_clock::time_point last{};
    const auto on_bytes = [&](std::uint64_t completed_bytes) {
      const auto now = std::chrono::steady_clock::now();
      if (now - last < kReportPeriod) return;
      last = now;
      report.completed_bytes = completed_bytes;
      progress_(report);
    };
    const store::Digest digest = GLM_TRY(
        download(store_.blobs(), source_, snapshot_, file, request_.download, on_bytes, stop_));
    report.completed_bytes = file.size_bytes;
    progress_(report);
    files_.push_back({file.path, digest, file.size_bytes});
    paths_[file.path] = GLM_TRY(store_.blobs().path(digest));
    return Ok{};
  }

  Result<std::string> index_text() const {
    const auto index = paths_.find(std::string(kIndexFile));
    return index == paths_.end() ? std::string() : read_file(index->second, 256 << 20);
  }

  // Everything that is still missing, at once, so that a full disk is known before the first byte.
  Status check_room(const std::vector<RemoteFile>& weights) const {
    std::uint64_t missing_bytes = 0;
    for (const RemoteFile& file : weights) {
      if (file.sha256 && store_.blobs().contains(*file.sha256, file.size_bytes)) continue;
      const std::uint64_t here = file.sha256 ? store_.blobs().held_bytes(*file.sha256) : 0;
      missing_bytes += file.size_bytes - std::min(here, file.size_bytes);
    }
    return store_.blobs().check_room(missing_bytes);
  }

  store::Store& store_;
  Source& source_;
  const PullRequest& request_;
  const std::function<void(const PullProgress&)>& progress_;
  const std::stop_token stop_;
  Snapshot snapshot_;
  std::vector<store::ManifestFile> files_;
  FilesOnDisk paths_;
};

}  // namespace

Result<store::Manifest> pull(store::Store& store, Source& source, const PullRequest& request,
                             const Inspector& inspector,
                             const std::function<void(const PullProgress&)>& progress,
                             std::stop_token stop) {
  return Pull(store, source, request, progress, std::move(stop)).run(inspector);
}

}  // namespace glm::registry
