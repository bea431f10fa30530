// A model repository as a hub keeps it: files by path, commits, branches and tags.
//
// Thread safety: none of its own; what find() returns never changes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "tests/fakes/http_server.h"

namespace glm::fakes {

struct HubFile {
  Content content;
  std::string sha256;   // hex, of the content
  std::string blob_id;  // git's name for the content

  std::string pointer() const;  // what git stores instead when the content lives in LFS
};
HubFile hub_file(Content content);
Content content_on_disk(const std::filesystem::path& file);

std::string git_blob_id(const std::string& text);

using HubTree = std::map<std::string, std::shared_ptr<const HubFile>>;

struct HubRevision {
  std::string commit;  // 40 hex digits that follow from the files
  HubTree files;
};

class HubRepository {
 public:
  void put(const std::string& path, HubFile file);  // on main
  void remove(const std::string& path);             // from main
  void mark(const std::string& ref);                // names what main is now: "refs/tags/v1" …

  // By branch, tag, full reference or commit, also one that main has left behind; null if unknown.
  std::shared_ptr<const HubRevision> find(const std::string& revision);

  const std::map<std::string, std::string>& refs();  // full reference -> commit

 private:
  std::string head();  // main's commit, recorded

  HubTree main_;
  std::map<std::string, std::string> refs_;
  std::map<std::string, std::shared_ptr<const HubRevision>> commits_;
};

}  // namespace glm::fakes
