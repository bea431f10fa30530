#include "store/blob_store.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "base/errno_error.h"
#include "base/units.h"
#include "store/file.h"
#include "store/sha256.h"

namespace glm::store {
namespace fs = std::filesystem;
namespace {

// Kept free for the index and for whatever else lives on the disk.
constexpr std::uint64_t kRoomMargin = 64ull << 20;

Status make_folder(const fs::path& folder) {
  std::error_code failure;
  fs::create_directories(folder, failure);
  if (failure) return errno_error("create", folder, failure.value());
  return Ok{};
}

class FileBlobWriter final : public BlobWriter {
 public:
  FileBlobWriter(Digest digest, std::uint64_t size_bytes, fs::path partial, fs::path final_path,
                 Fd fd)
      : digest_(digest),
        size_bytes_(size_bytes),
        partial_(std::move(partial)),
        final_(std::move(final_path)),
        fd_(std::move(fd)) {}

  // Gives back what reserve() took and nobody wrote to; after commit() there is no such thing.
  ~FileBlobWriter() override {
    if (fd_) (void)!::ftruncate(fd_.get(), static_cast<off_t>(offset_));
  }

  // Takes over what an earlier attempt left, by hashing it again.
  Status resume(const OnReread& reread) {
    struct stat info {};
    if (::fstat(fd_.get(), &info) != 0) return errno_error("stat", partial_, errno);
    if (static_cast<std::uint64_t>(info.st_size) > size_bytes_) return restart();
    std::array<std::byte, 1 << 18> buffer;
    while (true) {
      const ssize_t got = ::read(fd_.get(), buffer.data(), buffer.size());
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return errno_error("read", partial_, errno);
      if (got == 0) return Ok{};
      hash_.update(std::span(buffer.data(), static_cast<std::size_t>(got)));
      offset_ += static_cast<std::uint64_t>(got);
      if (!reread || reread(offset_)) continue;
      offset_ = static_cast<std::uint64_t>(info.st_size);  // all of it stays
      return make_error(Errc::cancelled, "cancelled");
    }
  }

  // Takes the room now, without changing the size that tells how far we are. Not all file systems
  // can; then the disk may fill later, and append() says so.
  Status reserve() {
    if (offset_ == size_bytes_) return Ok{};
    const int failed = ::fallocate(fd_.get(), FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset_),
                                   static_cast<off_t>(size_bytes_ - offset_));
    if (failed != 0 && (errno == ENOSPC || errno == EDQUOT || errno == EFBIG)) {
      return errno_error("reserve room for", partial_, errno);
    }
    return Ok{};
  }

  std::uint64_t offset() const override { return offset_; }

  Status append(std::span<const std::byte> bytes) override {
    if (bytes.size() > size_bytes_ - offset_) {
      return make_error(Errc::corrupt, "blob {}: more bytes came than the {} it has",
                        digest_.hex().substr(0, 12), size_bytes_);
    }
    GLM_TRY(write_all(fd_.get(), bytes, partial_));
    hash_.update(bytes);
    offset_ += bytes.size();
    return Ok{};
  }

  Status commit() override {
    if (offset_ != size_bytes_) {
      return make_error(Errc::corrupt, "blob {}: got {} bytes, want {}",
                        digest_.hex().substr(0, 12), offset_, size_bytes_);
    }
    const Digest got = hash_.finish();
    if (got != digest_) {
      ::unlink(partial_.c_str());
      return make_error(Errc::corrupt, "digest mismatch: got {}, want {}", got.str(),
                        digest_.str());
    }
    GLM_TRY(sync_file(fd_.get(), partial_));
    GLM_TRY(make_folder(final_.parent_path()));
    if (::rename(partial_.c_str(), final_.c_str()) != 0) {
      return errno_error("rename", partial_, errno);
    }
    // Not earlier: a partial that a crash left read-only could not be taken up again.
    if (::fchmod(fd_.get(), 0444) != 0) return errno_error("protect", final_, errno);
    GLM_TRY(sync_folder(final_.parent_path()));
    return sync_folder(final_.parent_path().parent_path());
  }

  Status restart() override {
    if (::ftruncate(fd_.get(), 0) != 0) return errno_error("empty", partial_, errno);
    if (::lseek(fd_.get(), 0, SEEK_SET) != 0) return errno_error("rewind", partial_, errno);
    hash_ = Sha256();
    offset_ = 0;
    return Ok{};
  }

 private:
  const Digest digest_;
  const std::uint64_t size_bytes_;
  const fs::path partial_;
  const fs::path final_;
  Fd fd_;  // holds the lock
  Sha256 hash_;
  std::uint64_t offset_ = 0;
};

// What a partial has of the disk: bytes written, or reserved by a writer that was killed.
std::uint64_t disk_bytes(const fs::path& path) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) return 0;
  return static_cast<std::uint64_t>(std::max<std::int64_t>(info.st_size, info.st_blocks * 512));
}

// Opens and locks the partial. A writer that finished in between has renamed the file away, so the
// name is checked again once the lock is held.
Result<Fd> open_locked(const fs::path& path) {
  while (true) {
    Fd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644));
    if (!fd) return errno_error("open", path, errno);
    if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno == EINTR) continue;
      return make_error(Errc::unavailable, "another pull is fetching {} right now",
                        path.filename().string().substr(0, 12));
    }
    struct stat ours {};
    struct stat named {};
    if (::fstat(fd.get(), &ours) != 0) return errno_error("stat", path, errno);
    if (::lstat(path.c_str(), &named) == 0 && named.st_ino == ours.st_ino &&
        named.st_dev == ours.st_dev) {
      return fd;
    }
  }
}

}  // namespace

Result<BlobStore> BlobStore::open(fs::path root) {
  GLM_TRY(make_folder(root / "blobs"));
  GLM_TRY(make_folder(root / "partials"));
  return BlobStore(std::move(root));
}

fs::path BlobStore::blob_path(const Digest& digest) const {
  const std::string hex = digest.hex();
  return root_ / "blobs" / hex.substr(0, 2) / hex;
}

fs::path BlobStore::partial_path(const Digest& digest) const {
  return root_ / "partials" / digest.hex();
}

bool BlobStore::contains(const Digest& digest) const {
  struct stat info {};
  return ::lstat(blob_path(digest).c_str(), &info) == 0 && S_ISREG(info.st_mode);
}

bool BlobStore::contains(const Digest& digest, std::uint64_t size_bytes) const {
  struct stat info {};
  return ::lstat(blob_path(digest).c_str(), &info) == 0 && S_ISREG(info.st_mode) &&
         static_cast<std::uint64_t>(info.st_size) == size_bytes;
}

Result<fs::path> BlobStore::path(const Digest& digest) const {
  if (contains(digest)) return blob_path(digest);
  return make_error(Errc::not_found, "blob {} is not in the store; pull the model again",
                    digest.str());
}

Result<std::unique_ptr<BlobWriter>> BlobStore::writer(const Digest& digest,
                                                      std::uint64_t size_bytes,
                                                      const OnReread& reread) const {
  const fs::path partial = partial_path(digest);
  Fd fd = GLM_TRY(open_locked(partial));
  auto writer = std::make_unique<FileBlobWriter>(digest, size_bytes, partial, blob_path(digest),
                                                 std::move(fd));
  GLM_TRY(writer->resume(reread));
  GLM_TRY(check_room(size_bytes - std::min(size_bytes, disk_bytes(partial))));
  GLM_TRY(writer->reserve());
  return std::unique_ptr<BlobWriter>(std::move(writer));
}

Status BlobStore::check_room(std::uint64_t size_bytes) const {
  if (size_bytes == 0) return Ok{};
  struct statvfs disk {};
  if (::statvfs(root_.c_str(), &disk) != 0) return errno_error("look at the disk of", root_, errno);
  const std::uint64_t free_bytes = std::uint64_t{disk.f_bavail} * disk.f_frsize;
  // A small disk still takes small models.
  const std::uint64_t margin = std::min(kRoomMargin, size_bytes / 8);
  if (size_bytes + margin <= free_bytes) return Ok{};
  return make_error(Errc::exhausted,
                    "the disk of {} is too full: {} are needed, {} are free; make room or set "
                    "GLM_HOME to a folder on another disk",
                    root_.string(), format_bytes(size_bytes), format_bytes(free_bytes));
}

std::uint64_t BlobStore::partial_bytes(const Digest& digest) const {
  std::error_code failure;
  const auto size_bytes = fs::file_size(partial_path(digest), failure);
  return failure ? 0 : size_bytes;
}

std::uint64_t BlobStore::held_bytes(const Digest& digest) const {
  return disk_bytes(partial_path(digest));
}

Status BlobStore::remove(const Digest& digest) const {
  const fs::path path = blob_path(digest);
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) return errno_error("remove", path, errno);
  return Ok{};
}

Status BlobStore::renew() const {
  for (const Digest& digest : GLM_TRY(list())) {
    const fs::path path = blob_path(digest);
    if (::utimensat(AT_FDCWD, path.c_str(), nullptr, AT_SYMLINK_NOFOLLOW) == 0) continue;
    if (errno != ENOENT) return errno_error("renew", path, errno);
  }
  return Ok{};
}

Result<std::vector<Digest>> BlobStore::list() const {
  std::vector<Digest> digests;
  std::error_code failure;
  for (const auto& entry : fs::recursive_directory_iterator(root_ / "blobs", failure)) {
    if (!entry.is_regular_file(failure)) continue;
    // A file whose name is no digest is not ours.
    if (Result<Digest> digest = Digest::parse(entry.path().filename().string()); digest.ok()) {
      digests.push_back(*digest);
    }
  }
  if (failure) return errno_error("list", root_ / "blobs", failure.value());
  return digests;
}

}  // namespace glm::store
