#include "registry/download.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <map>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "store/sha256.h"
#include "store/verify.h"

namespace glm::registry {
namespace {

constexpr std::chrono::milliseconds kBusyPatience{200};

// Parts of one file, fetched by several threads, handed to the writer in order. At most two parts
// for each connection are in memory.
class PartWindow {
 public:
  PartWindow(std::uint64_t first, std::uint64_t end, std::uint64_t part_bytes, std::size_t window)
      : end_(end),
        part_bytes_(part_bytes),
        window_(window),
        next_to_fetch_(first),
        next_to_write_(first) {}

  struct Part {
    std::uint64_t first = 0;
    std::uint64_t end = 0;
  };

  // The next part nobody fetches yet; nullopt when there is none, or all is over.
  std::optional<Part> claim() {
    MutexLock lock(mutex_);
    while (!over_ && next_to_fetch_ < end_ &&
           next_to_fetch_ >= next_to_write_ + window_ * part_bytes_) {
      lock.wait(changed_);
    }
    if (over_ || next_to_fetch_ >= end_) return std::nullopt;
    const Part part{next_to_fetch_, std::min(next_to_fetch_ + part_bytes_, end_)};
    next_to_fetch_ = part.end;
    return part;
  }

  void put(std::uint64_t first, std::vector<std::byte> bytes) {
    MutexLock lock(mutex_);
    arrived_.emplace(first, std::move(bytes));
    changed_.notify_all();
  }

  // Ends everything; the first error is kept.
  void end(Status status) {
    MutexLock lock(mutex_);
    if (!over_) status_ = std::move(status);
    over_ = true;
    changed_.notify_all();
  }

  // The next bytes in order; empty when it is over.
  std::vector<std::byte> take() {
    MutexLock lock(mutex_);
    while (!over_ && next_to_write_ < end_ && !arrived_.contains(next_to_write_)) {
      lock.wait(changed_);
    }
    if (over_ || next_to_write_ >= end_) return {};
    auto node = arrived_.extract(next_to_write_);
    next_to_write_ += node.mapped().size();
    changed_.notify_all();
    return std::move(node.mapped());
  }

  Status status() const {
    MutexLock lock(mutex_);
    return status_;
  }

 private:
  const std::uint64_t end_;
  const std::uint64_t part_bytes_;
  const std::size_t window_;
  mutable Mutex mutex_;
  std::condition_variable changed_;
  std::uint64_t next_to_fetch_ GLM_GUARDED_BY(mutex_);
  std::uint64_t next_to_write_ GLM_GUARDED_BY(mutex_);
  std::map<std::uint64_t, std::vector<std::byte>> arrived_ GLM_GUARDED_BY(mutex_);
  bool over_ GLM_GUARDED_BY(mutex_) = false;
  Status status_ GLM_GUARDED_BY(mutex_) = Ok{};
};

struct Job {
  Source& source;
  const Snapshot& snapshot;
  const RemoteFile& file;
  const DownloadOptions& options;
  const DownloadProgress& progress;
  std::stop_token stop;
};

Status fetch_in_order(const Job& job, store::BlobWriter& writer) {
  return job.source.read(
      job.snapshot, job.file, writer.offset(), job.file.size_bytes,
      [&](std::span<const std::byte> bytes) -> Status {
        GLM_TRY(writer.append(bytes));
        job.progress.completed(writer.offset());
        return Ok{};
      },
      job.stop);
}

void fetch_parts(const Job& job, PartWindow& window) {
  while (const std::optional<PartWindow::Part> part = window.claim()) {
    std::vector<std::byte> bytes;
    bytes.reserve(part->end - part->first);
    const Status done = job.source.read(
        job.snapshot, job.file, part->first, part->end,
        [&](std::span<const std::byte> more) -> Status {
          bytes.insert(bytes.end(), more.begin(), more.end());
          return Ok{};
        },
        job.stop);
    if (!done.ok()) return window.end(done);
    window.put(part->first, std::move(bytes));
  }
}

Status fetch_in_parts(const Job& job, store::BlobWriter& writer) {
  const auto connections = static_cast<std::size_t>(job.source.connections());
  PartWindow window(writer.offset(), job.file.size_bytes, job.options.part_bytes, 2 * connections);
  std::vector<std::jthread> threads;
  for (std::size_t i = 0; i < connections; ++i) {
    threads.emplace_back([&] { fetch_parts(job, window); });
  }
  while (true) {
    const std::vector<std::byte> bytes = window.take();
    if (bytes.empty()) break;
    if (Status kept = writer.append(bytes); !kept.ok()) {
      window.end(std::move(kept));
      break;
    }
    job.progress.completed(writer.offset());
  }
  threads.clear();  // joins
  return window.status();
}

Status fetch(const Job& job, store::BlobWriter& writer) {
  if (writer.offset() >= job.file.size_bytes) return Ok{};
  const bool large = job.file.size_bytes - writer.offset() > job.options.part_bytes;
  return large && job.source.connections() > 1 ? fetch_in_parts(job, writer)
                                               : fetch_in_order(job, writer);
}

enum class Known { trusted, damaged };

// A writer, once no other pull has this blob; nullptr when that one has finished it, or it is here
// and trusted.
Result<std::unique_ptr<store::BlobWriter>> wait_for_writer(const store::BlobStore& blobs,
                                                           const Job& job,
                                                           const store::Digest& digest,
                                                           std::uint64_t size_bytes, Known known) {
  const auto reread = [&job](std::uint64_t read_bytes) {
    job.progress.reread(read_bytes);
    return !job.stop.stop_requested();
  };
  while (true) {
    if (known == Known::trusted && blobs.contains(digest, size_bytes)) {
      return std::unique_ptr<store::BlobWriter>();
    }
    auto writer = blobs.writer(digest, size_bytes, reread);
    if (writer.ok() || writer.error().code != Errc::unavailable) return writer;
    known = Known::trusted;  // what the other one puts there was hashed
    if (job.stop.stop_requested()) return make_error(Errc::cancelled, "cancelled");
    std::this_thread::sleep_for(kBusyPatience);
  }
}

Result<store::Digest> download_large(const store::BlobStore& blobs, const Job& job,
                                     const store::Digest& digest) {
  const Known known = job.options.replace ? Known::damaged : Known::trusted;
  for (int attempt = 0;; ++attempt) {
    auto writer = GLM_TRY(wait_for_writer(blobs, job, digest, job.file.size_bytes, known));
    if (!writer) return digest;
    job.progress.completed(writer->offset());
    GLM_TRY(fetch(job, *writer));
    const Status kept = writer->commit();
    if (kept.ok()) return digest;
    if (kept.error().code != Errc::corrupt || attempt > 0) return kept.error();
  }
}

// The content is named by its git id; its SHA-256 is known once it is here.
Result<store::Digest> download_git(const store::BlobStore& blobs, const Job& job) {
  const RemoteFile& file = job.file;
  if (file.size_bytes > kGitSizeMax) {
    return make_error(Errc::corrupt, "the listing gives no SHA-256 for its {} bytes; refused",
                      file.size_bytes);
  }
  for (int attempt = 0;; ++attempt) {
    std::vector<std::byte> bytes;
    GLM_TRY(job.source.read(
        job.snapshot, file, 0, file.size_bytes,
        [&](std::span<const std::byte> more) -> Status {
          bytes.insert(bytes.end(), more.begin(), more.end());
          return Ok{};
        },
        job.stop));
    store::GitBlobSha1 git(bytes.size());
    git.update(bytes);
    const std::string got = git.finish();
    if (got != file.git_oid) {
      if (attempt == 0) continue;
      return make_error(Errc::corrupt, "digest mismatch: got git id {}, want {}", got,
                        file.git_oid);
    }
    store::Sha256 sha256;
    sha256.update(bytes);
    const store::Digest digest = sha256.finish();
    // Nobody knew until now which blob it is, so nobody has looked at it.
    const store::ManifestFile blob{file.path, digest, bytes.size()};
    const auto states = GLM_TRY(store::verify(blobs, {&blob, 1}, {}, job.stop));
    const bool whole = states.front() == store::BlobState::whole;
    auto writer = GLM_TRY(
        wait_for_writer(blobs, job, digest, bytes.size(), whole ? Known::trusted : Known::damaged));
    if (!writer) return digest;
    GLM_TRY(writer->restart());
    GLM_TRY(writer->append(bytes));
    GLM_TRY(writer->commit());
    job.progress.completed(bytes.size());
    return digest;
  }
}

}  // namespace

Result<store::Digest> download(const store::BlobStore& blobs, Source& source,
                               const Snapshot& snapshot, const RemoteFile& file,
                               const DownloadOptions& options, const DownloadProgress& progress,
                               std::stop_token stop) {
  const Job job{source, snapshot, file, options, progress, std::move(stop)};
  auto digest = file.sha256 ? download_large(blobs, job, *file.sha256) : download_git(blobs, job);
  return std::move(digest).with(file.path);
}

}  // namespace glm::registry
