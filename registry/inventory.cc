#include "registry/inventory.h"

#include <algorithm>
#include <chrono>

#include "base/paths.h"
#include "store/sha256.h"

namespace glm::registry {
namespace {

using store::BlobState;

constexpr std::chrono::milliseconds kReportPeriod{100};

// As which blob a file would be here.
std::optional<store::Digest> expected(const RemoteFile& file,
                                      const std::optional<store::Manifest>& before) {
  if (file.sha256 || !before) return file.sha256;
  const auto known =
      std::find_if(before->files.begin(), before->files.end(), [&](const store::ManifestFile& old) {
        return old.path == file.path && old.size_bytes == file.size_bytes;
      });
  return known == before->files.end() ? std::nullopt : std::optional(known->digest);
}

// Whether a blob is what the listing means by a git id.
bool has_git_id(const store::BlobStore& blobs, const store::Digest& digest,
                const RemoteFile& file) {
  const Result<std::filesystem::path> path = blobs.path(digest);
  if (!path.ok()) return false;
  const Result<std::string> text = read_file(*path, kGitSizeMax);
  if (!text.ok()) return false;
  store::GitBlobSha1 git(text->size());
  git.update(std::as_bytes(std::span(*text)));
  return git.finish() == file.git_oid;
}

// What is said of a file while it is read. 100 % is said of whole ones only.
class Report {
 public:
  Report(const RemoteFile& file, const OnProgress& progress) : file_(file), progress_(progress) {}

  void read(std::uint64_t read_bytes) {
    const auto now = std::chrono::steady_clock::now();
    if (read_bytes >= file_.size_bytes || now - said_at_ < kReportPeriod) return;
    said_at_ = now;
    PullProgress report = progress_of("verifying", file_);
    report.completed_bytes = read_bytes;
    progress_(report);
  }

  void done(BlobState state) const {
    PullProgress report;
    if (state == BlobState::whole) {
      report = progress_of("verified", file_);
      report.completed_bytes = file_.size_bytes;
    } else if (state == BlobState::damaged) {
      report.status = file_.path + " is damaged here";
    } else {
      return;
    }
    progress_(report);
  }

 private:
  const RemoteFile& file_;
  const OnProgress& progress_;
  std::chrono::steady_clock::time_point said_at_;
};

}  // namespace

Result<std::vector<Held>> take_inventory(const store::BlobStore& blobs,
                                         const std::vector<RemoteFile>& files,
                                         const std::optional<store::Manifest>& before,
                                         const OnProgress& progress, std::stop_token stop) {
  std::vector<store::ManifestFile> wanted;
  std::vector<std::size_t> places;  // of these among all
  std::vector<Report> reports;
  for (std::size_t i = 0; i < files.size(); ++i) {
    const std::optional<store::Digest> digest = expected(files[i], before);
    if (!digest) continue;
    wanted.push_back({files[i].path, *digest, files[i].size_bytes});
    places.push_back(i);
    reports.emplace_back(files[i], progress);
  }
  std::vector<Held> held(files.size());
  const auto done = [&](std::size_t i, BlobState state) {
    const RemoteFile& file = files[places[i]];
    // Right, and not what the source has now.
    if (state == BlobState::whole && !file.sha256 && !has_git_id(blobs, wanted[i].digest, file)) {
      state = BlobState::missing;
    }
    if (state != BlobState::missing) held[places[i]] = {state, wanted[i].digest};
    reports[i].done(state);
  };
  const store::VerifyEvents events{
      .read = [&](std::size_t i, std::uint64_t bytes) { reports[i].read(bytes); }, .done = done};
  GLM_TRY(store::verify(blobs, wanted, events, std::move(stop)));
  return held;
}

}  // namespace glm::registry
