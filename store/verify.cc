#include "store/verify.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <thread>

#include "base/errno_error.h"
#include "base/fd.h"
#include "base/mutex.h"
#include "store/sha256.h"

namespace glm::store {
namespace {

constexpr std::size_t kReadBytes = 1 << 20;

class Verification {
 public:
  Verification(const BlobStore& blobs, std::span<const ManifestFile> files,
               const VerifyEvents& events, std::stop_token stop)
      : blobs_(blobs),
        files_(files),
        events_(events),
        stop_(std::move(stop)),
        states_(files.size(), BlobState::missing) {}

  Result<std::vector<BlobState>> run() {
    const std::size_t cores = std::max(std::thread::hardware_concurrency(), 1U);
    std::vector<std::jthread> helpers;
    for (std::size_t i = 1; i < std::min(cores, files_.size()); ++i) {
      helpers.emplace_back([this] { work(); });
    }
    work();
    helpers.clear();  // joins
    MutexLock lock(mutex_);
    GLM_TRY(std::move(failure_));
    return std::move(states_);
  }

 private:
  void work() {
    for (std::size_t file = next_++; file < files_.size() && !over_; file = next_++) {
      Result<BlobState> state = state_of(file);
      MutexLock lock(mutex_);
      if (!state.ok()) {
        if (failure_.ok()) failure_ = std::move(state).error().with(files_[file].path);
        over_ = true;
        return;
      }
      states_[file] = *state;
      if (events_.done) events_.done(file, *state);
    }
  }

  Result<BlobState> state_of(std::size_t file) {
    const ManifestFile& wanted = files_[file];
    if (!blobs_.contains(wanted.digest)) return BlobState::missing;
    if (!blobs_.contains(wanted.digest, wanted.size_bytes)) return BlobState::damaged;
    const std::filesystem::path path = GLM_TRY(blobs_.path(wanted.digest));
    const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd && errno == ENOENT) return BlobState::missing;
    if (!fd) return errno_error("open", path, errno);
    (void)::posix_fadvise(fd.get(), 0, 0, POSIX_FADV_SEQUENTIAL);
    Sha256 hash;
    std::vector<std::byte> buffer(kReadBytes);
    std::uint64_t read_bytes = 0;
    while (true) {
      if (over_ || stop_.stop_requested()) return make_error(Errc::cancelled, "cancelled");
      const ssize_t got = ::read(fd.get(), buffer.data(), buffer.size());
      if (got < 0 && errno == EINTR) continue;
      if (got < 0 && errno == EIO) return BlobState::damaged;
      if (got < 0) return errno_error("read", path, errno);
      if (got == 0) break;
      hash.update(std::span(buffer.data(), static_cast<std::size_t>(got)));
      read_bytes += static_cast<std::uint64_t>(got);
      if (!events_.read) continue;
      MutexLock lock(mutex_);
      events_.read(file, read_bytes);
    }
    return hash.finish() == wanted.digest ? BlobState::whole : BlobState::damaged;
  }

  const BlobStore& blobs_;
  const std::span<const ManifestFile> files_;
  const VerifyEvents& events_;
  const std::stop_token stop_;
  std::atomic<std::size_t> next_ = 0;
  std::atomic<bool> over_ = false;  // somebody failed
  Mutex mutex_;
  std::vector<BlobState> states_ GLM_GUARDED_BY(mutex_);
  Status failure_ GLM_GUARDED_BY(mutex_) = Ok{};
};

}  // namespace

Result<std::vector<BlobState>> verify(const BlobStore& blobs, std::span<const ManifestFile> files,
                                      const VerifyEvents& events, std::stop_token stop) {
  return Verification(blobs, files, events, std::move(stop)).run();
}

}  // namespace glm::store
