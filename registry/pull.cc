#include "registry/pull.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>

#include "base/clock.h"
#include "base/paths.h"
#include "registry/inventory.h"
#include "registry/select_files.h"

namespace glm::registry {
namespace {

constexpr std::chrono::milliseconds kReportPeriod{100};

class Pull {
 public:
  Pull(store::Store& store, Source& source, const PullRequest& request, const Inspector& inspector,
       const OnProgress& progress, std::stop_token stop)
      : store_(store),
        source_(source),
        request_(request),
        inspector_(inspector),
        progress_(progress),
        stop_(std::move(stop)) {}

  Result<store::Manifest> run() {
    say("pulling manifest");
    GLM_TRY(look_up_before());
    Result<Snapshot> snapshot = source_.resolve(request_.source, request_.revision, stop_);
    if (!snapshot.ok()) return without_source(std::move(snapshot).error());
    snapshot_ = *std::move(snapshot);
    GLM_TRY(bring(GLM_TRY(select_small(snapshot_))));
    GLM_TRY(inspector_.accept(paths_));
    GLM_TRY(bring(GLM_TRY(select_weights(snapshot_, GLM_TRY(index_text())))));
    say("verifying sha256 digest");  // they were, as they came or were read again
    std::string facts_json = GLM_TRY(inspector_.describe(paths_));
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

  Status look_up_before() {
    Result<store::Manifest> before = store_.find(request_.name);
    if (before.ok()) {
      before_ = *std::move(before);
    } else if (before.error().code != Errc::not_found) {
      return std::move(before).error();
    }
    return Ok{};
  }

  // What is here keeps its value, and may be damaged.
  Error without_source(Error why) const {
    if (!before_ || why.code == Errc::cancelled) return why;
    say("verifying what is here");
    std::vector<RemoteFile> files;
    for (const store::ManifestFile& file : before_->files) {
      files.push_back({file.path, file.size_bytes, file.digest, ""});
    }
    const Result<std::vector<Held>> held =
        take_inventory(store_.blobs(), files, before_, progress_, stop_);
    if (!held.ok()) return held.error();
    for (std::size_t i = 0; i < files.size(); ++i) {
      const store::BlobState state = (*held)[i].state;
      if (state == store::BlobState::whole) continue;
      const bool damaged = state == store::BlobState::damaged;
      return make_error(damaged ? Errc::corrupt : why.code,
                        "{} is {} here and cannot be fetched again: {}", files[i].path,
                        damaged ? "damaged" : "missing", why.message);
    }
    why.message += "; what is here of the model was read again and is whole";
    return why;
  }

  // What is here and whole stays, the rest is fetched.
  Status bring(const std::vector<RemoteFile>& files) {
    const std::vector<Held> held =
        GLM_TRY(take_inventory(store_.blobs(), files, before_, progress_, stop_));
    GLM_TRY(check_room(files, held));
    for (std::size_t i = 0; i < files.size(); ++i) {
      if (stop_.stop_requested()) return make_error(Errc::cancelled, "cancelled");
      if (held[i].state == store::BlobState::whole) {
        GLM_TRY(take(files[i], *held[i].digest));
      } else {
        GLM_TRY(fetch(files[i], held[i]));
      }
    }
    return Ok{};
  }

  Status take(const RemoteFile& file, const store::Digest& digest) {
    files_.push_back({file.path, digest, file.size_bytes});
    paths_[file.path] = GLM_TRY(store_.blobs().path(digest));
    return Ok{};
  }

  Status fetch(const RemoteFile& file, const Held& held) {
    PullProgress report = progress_of("pulling", file);
    PullProgress rereading = progress_of("verifying", file);
    std::chrono::steady_clock::time_point last{};
    const auto say_bytes = [&](PullProgress& progress, std::uint64_t bytes) {
      const auto now = std::chrono::steady_clock::now();
      if (now - last < kReportPeriod) return;
      last = now;
      progress.completed_bytes = bytes;
      progress_(progress);
    };
    const DownloadProgress on_bytes{
        .reread = [&](std::uint64_t bytes) { say_bytes(rereading, bytes); },
        .completed = [&](std::uint64_t bytes) { say_bytes(report, bytes); }};
    DownloadOptions options = request_.download;
    options.replace = held.state == store::BlobState::damaged;
    const store::Digest digest =
        GLM_TRY(download(store_.blobs(), source_, snapshot_, file, options, on_bytes, stop_));
    report.completed_bytes = file.size_bytes;
    progress_(report);
    if (options.replace && digest == held.digest && inspector_.mended) inspector_.mended(digest);
    return take(file, digest);
  }

  Result<std::string> index_text() const {
    const auto index = paths_.find(std::string(kIndexFile));
    return index == paths_.end() ? std::string() : read_file(index->second, 256 << 20);
  }

  // Everything that is still to be fetched, at once, so that a full disk is known before the first
  // byte.
  Status check_room(const std::vector<RemoteFile>& files, const std::vector<Held>& held) const {
    std::uint64_t missing_bytes = 0;
    for (std::size_t i = 0; i < files.size(); ++i) {
      const RemoteFile& file = files[i];
      if (held[i].state == store::BlobState::whole) continue;
      const std::uint64_t here = file.sha256 ? store_.blobs().held_bytes(*file.sha256) : 0;
      missing_bytes += file.size_bytes - std::min(here, file.size_bytes);
    }
    return store_.blobs().check_room(missing_bytes);
  }

  store::Store& store_;
  Source& source_;
  const PullRequest& request_;
  const Inspector& inspector_;
  const OnProgress& progress_;
  const std::stop_token stop_;
  std::optional<store::Manifest> before_;  // what is here under the name
  Snapshot snapshot_;
  std::vector<store::ManifestFile> files_;
  FilesOnDisk paths_;
};

}  // namespace

PullProgress progress_of(std::string_view what, const RemoteFile& file) {
  const std::string name = file.sha256 ? file.sha256->hex() : file.git_oid;
  PullProgress progress;
  progress.status = fmt::format("{} {}", what, name.substr(0, 12));
  progress.digest = file.sha256 ? file.sha256->str() : "git:" + file.git_oid;
  progress.file = file.path;
  progress.total_bytes = file.size_bytes;
  return progress;
}

Result<store::Manifest> pull(store::Store& store, Source& source, const PullRequest& request,
                             const Inspector& inspector, const OnProgress& progress,
                             std::stop_token stop) {
  source.on_wait([&](const std::string& why) {
    PullProgress report;
    report.status = "trying again: " + why;
    progress(report);
  });
  source.on_silence([&](const std::string& host) {
    PullProgress report;
    report.status = fmt::format("waiting for {} to answer", host);
    progress(report);
  });
  const struct Quiet {
    Source& source;
    ~Quiet() {
      source.on_wait({});
      source.on_silence({});
    }
  } quiet{source};
  return Pull(store, source, request, inspector, progress, std::move(stop)).run();
}

}  // namespace glm::registry
