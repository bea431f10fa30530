#include "store/store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>

#include "base/errno_error.h"
#include "base/fd.h"

namespace glm::store {
namespace fs = std::filesystem;
namespace {

// Size of a file untouched for so long, or nothing.
bool untouched_since(const fs::path& path, std::chrono::seconds age_min,
                     std::uint64_t& size_bytes) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0 || !S_ISREG(info.st_mode)) return false;
  size_bytes = static_cast<std::uint64_t>(info.st_size);
  // Of the clock that files are stamped by: time() may be a tick behind it.
  const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  // The inode change time moves with renames, which mtime does not.
  return now - std::max(info.st_mtime, info.st_ctime) >= age_min.count();
}

// Outlives the process that found the index lost: it need not be the one that people hear of.
fs::path lost_mark(const fs::path& root) {
  return root / "index.lost";
}

// Where there was no index, or an empty one.
Status mark_lost(const BlobStore& blobs, const Index& index) {
  if (GLM_TRY(blobs.list()).empty() || !GLM_TRY(index.list()).empty()) return Ok{};
  const fs::path mark = lost_mark(blobs.root());
  const Fd file(::open(mark.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
  if (!file) return errno_error("create", mark, errno);
  return Ok{};
}

}  // namespace

Result<std::unique_ptr<Store>> Store::open(const fs::path& root) {
  std::error_code failure;
  if (fs::create_directories(root, failure)) ::chmod(root.c_str(), 0700);
  if (failure) return errno_error("create", root, failure.value());
  BlobStore blobs = GLM_TRY(BlobStore::open(root));
  const fs::path index_path = root / "index.db";
  std::error_code no_index;
  const bool is_new = fs::file_size(index_path, no_index) == 0 || no_index;
  // Of an index that was moved away, or emptied, nobody knows any more what names these blobs: who
  // pulls his models again has as long for it as for new ones before gc().
  if (is_new) GLM_TRY(blobs.renew());
  auto index = GLM_TRY(Index::open(index_path));
  if (is_new) GLM_TRY(mark_lost(blobs, *index));
  return std::unique_ptr<Store>(new Store(std::move(blobs), std::move(index)));
}

std::string Store::warning() const {
  std::error_code ignored;
  if (!fs::exists(lost_mark(blobs_.root()), ignored)) return {};
  return fmt::format(
      "the index of models, {}, was moved away or emptied, and what was pulled has no names any "
      "more; pull your models again: what is still here is checked, not fetched",
      (blobs_.root() / "index.db").string());
}

std::vector<std::string> Store::names() const {
  std::vector<std::string> names;
  Result<std::vector<Manifest>> manifests = list();
  if (!manifests.ok()) return names;
  for (Manifest& manifest : *manifests) names.push_back(std::move(manifest.name));
  return names;
}

Status Store::publish(const Manifest& manifest) {
  MutexLock lock(naming_);
  for (const ManifestFile& file : manifest.files) {
    if (!blobs_.contains(file.digest)) {
      return make_error(Errc::not_found, "publish {}: {} is not in the store", manifest.name,
                        file.path);
    }
  }
  const Result<Manifest> replaced = index_->find(manifest.name);
  if (!replaced.ok() && replaced.error().code != Errc::not_found) return replaced.error();
  GLM_TRY(index_->put(manifest));
  ::unlink(lost_mark(blobs_.root()).c_str());
  return replaced.ok() ? remove_unreferenced(replaced->files) : Status(Ok{});
}

Status Store::remove(std::string_view name) {
  MutexLock lock(naming_);
  const Manifest manifest = GLM_TRY(index_->find(name));
  GLM_TRY(index_->remove(name));
  return remove_unreferenced(manifest.files);
}

Status Store::remove_unreferenced(const std::vector<ManifestFile>& files) {
  for (const ManifestFile& file : files) {
    if (!GLM_TRY(index_->is_referenced(file.digest))) GLM_TRY(blobs_.remove(file.digest));
  }
  return Ok{};
}

Status Store::copy(std::string_view from, std::string_view to) {
  MutexLock lock(naming_);
  Manifest manifest = GLM_TRY(index_->find(from));
  const Result<Manifest> other = index_->find(to);
  if (other.ok() && other->digest() != manifest.digest()) {
    return make_error(Errc::already_exists,
                      "model \"{}\" exists and is another model; remove it first", to);
  }
  manifest.name = to;
  return index_->put(manifest);
}

Result<GcReport> Store::gc(std::chrono::seconds untouched_min) const {
  MutexLock lock(naming_);
  GcReport report;
  std::uint64_t size_bytes = 0;
  for (const Digest& digest : GLM_TRY(blobs_.list())) {
    if (GLM_TRY(index_->is_referenced(digest))) continue;
    const Result<fs::path> path = blobs_.path(digest);
    if (!path.ok() || !untouched_since(*path, untouched_min, size_bytes)) continue;
    GLM_TRY(blobs_.remove(digest));
    ++report.blobs;
    report.freed_bytes += size_bytes;
  }
  std::error_code failure;
  const fs::path partials = blobs_.root() / "partials";
  for (const auto& entry : fs::directory_iterator(partials, failure)) {
    if (!untouched_since(entry.path(), untouched_min, size_bytes)) continue;
    if (::unlink(entry.path().c_str()) != 0) continue;
    ++report.partials;
    report.freed_bytes += size_bytes;
  }
  if (failure) return errno_error("list", partials, failure.value());
  return report;
}

}  // namespace glm::store
