#include "registry/bundled_source.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/errno_error.h"
#include "base/fd.h"
#include "base/paths.h"
#include "registry/safe_path.h"
#include "store/sha256.h"

namespace glm::registry {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view kPrefix = "bundled:";
constexpr const char* kSums = "SHA256SUMS";

// "<64 hex>  <path>" or "<64 hex> *<path>", as sha256sum writes it.
Result<RemoteFile> parse_line(std::string_view line, const fs::path& folder) {
  if (line.size() < 67 || line[64] != ' ') {
    return make_error(Errc::corrupt, "{}: a line is not '<digest>  <path>'",
                      (folder / kSums).string());
  }
  RemoteFile file;
  file.sha256 = GLM_TRY(store::Digest::parse(line.substr(0, 64)));
  file.path = line.substr(66);
  GLM_TRY(check_path(file.path));
  std::error_code failure;
  file.size_bytes = fs::file_size(folder / file.path, failure);
  if (failure) return errno_error("look at", folder / file.path, failure.value());
  return file;
}

}  // namespace

Result<fs::path> BundledSource::folder_of(const std::string& repository) const {
  const std::string_view name = std::string_view(repository).substr(
      repository.starts_with(kPrefix) ? kPrefix.size() : 0);
  GLM_TRY(check_path(name));
  if (name.find('/') != std::string_view::npos) {
    return make_error(Errc::invalid_argument, "'{}' is no bundled model", repository);
  }
  return bundles_ / name;
}

Result<Snapshot> BundledSource::resolve(const std::string& repository, const std::string&,
                                        std::stop_token) {
  const fs::path folder = GLM_TRY(folder_of(repository));
  Result<std::string> sums = read_file(folder / kSums, 1 << 20);
  if (!sums.ok()) {
    return std::move(sums).error().with(
        "the model " + repository + " should have come with the program; install glm again");
  }
  Snapshot snapshot;
  snapshot.repository = repository;
  snapshot.commit = store::sha256(*sums).hex();
  std::string_view rest = *sums;
  while (!rest.empty()) {
    const std::size_t newline = rest.find('\n');
    const std::string_view line = rest.substr(0, newline);
    if (!line.empty()) snapshot.files.push_back(GLM_TRY(parse_line(line, folder)));
    if (newline == std::string_view::npos) break;
    rest.remove_prefix(newline + 1);
  }
  return snapshot;
}

Status BundledSource::read(const Snapshot& snapshot, const RemoteFile& file, std::uint64_t first,
                           std::uint64_t end, const ByteSink& sink, std::stop_token stop) {
  const fs::path path = GLM_TRY(folder_of(snapshot.repository)) / file.path;
  const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return errno_error("open", path, errno);
  std::vector<std::byte> buffer(1 << 18);
  while (first < end) {
    if (stop.stop_requested()) return make_error(Errc::cancelled, "cancelled");
    const std::size_t want = std::min<std::uint64_t>(buffer.size(), end - first);
    const ssize_t got = ::pread(fd.get(), buffer.data(), want, static_cast<off_t>(first));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno_error("read", path, errno);
    if (got == 0) {
      return make_error(Errc::corrupt, "{} is shorter than it was a moment ago", path.string());
    }
    GLM_TRY(sink(std::span(buffer.data(), static_cast<std::size_t>(got))));
    first += static_cast<std::uint64_t>(got);
  }
  return Ok{};
}

}  // namespace glm::registry
