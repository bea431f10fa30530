#include "tests/fakes/hub_repository.h"

#include <algorithm>
#include <fstream>
#include <span>
#include <system_error>
#include <utility>

#include "store/sha256.h"

namespace glm::fakes {
namespace {

constexpr std::size_t kPiece = 1024 * 1024;

}  // namespace

std::string HubFile::pointer() const {
  return "version https://git-lfs.github.com/spec/v1\noid sha256:" + sha256 + "\nsize " +
         std::to_string(content.size_bytes) + "\n";
}

HubFile hub_file(Content content) {
  store::Sha256 sha256;
  store::GitBlobSha1 blob_id(content.size_bytes);
  for (std::uint64_t at = 0; at < content.size_bytes; at += kPiece) {
    const auto length = std::min<std::uint64_t>(kPiece, content.size_bytes - at);
    const std::string piece = content.read(at, length);
    const auto bytes = std::as_bytes(std::span(piece));
    sha256.update(bytes);
    blob_id.update(bytes);
  }
  return {
      .content = std::move(content), .sha256 = sha256.finish().hex(), .blob_id = blob_id.finish()};
}

Content content_on_disk(const std::filesystem::path& file) {
  std::error_code error;
  const std::uintmax_t size = std::filesystem::file_size(file, error);
  return {.size_bytes = error ? 0 : size, .read = [file](std::uint64_t offset, std::size_t length) {
            std::ifstream in(file, std::ios::binary);
            std::string bytes(length, '\0');
            in.seekg(static_cast<std::streamoff>(offset));
            in.read(bytes.data(), static_cast<std::streamsize>(length));
            bytes.resize(static_cast<std::size_t>(in.gcount()));
            return bytes;
          }};
}

std::string git_blob_id(const std::string& text) {
  store::GitBlobSha1 hash(text.size());
  hash.update(std::as_bytes(std::span(text)));
  return hash.finish();
}

void HubRepository::put(const std::string& path, HubFile file) {
  main_[path] = std::make_shared<const HubFile>(std::move(file));
}

void HubRepository::remove(const std::string& path) {
  main_.erase(path);
}

void HubRepository::mark(const std::string& ref) {
  refs_[ref] = head();
}

std::shared_ptr<const HubRevision> HubRepository::find(const std::string& revision) {
  refs_["refs/heads/main"] = head();
  for (const char* prefix : {"", "refs/heads/", "refs/tags/"}) {
    const auto ref = refs_.find(prefix + revision);
    if (ref != refs_.end()) return commits_.at(ref->second);
  }
  const auto commit = commits_.find(revision);
  return commit == commits_.end() ? nullptr : commit->second;
}

const std::map<std::string, std::string>& HubRepository::refs() {
  refs_["refs/heads/main"] = head();
  return refs_;
}

std::string HubRepository::head() {
  std::string listing;
  for (const auto& [path, file] : main_) listing += file->blob_id + " " + path + "\n";
  const std::string commit = git_blob_id(listing);
  if (commits_.count(commit) == 0) {
    commits_[commit] = std::make_shared<const HubRevision>(HubRevision{commit, main_});
  }
  return commit;
}

}  // namespace glm::fakes
