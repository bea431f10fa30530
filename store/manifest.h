// What a pulled model consists of: the commit it came from and every file by its digest.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "store/digest.h"

namespace glm::store {

struct ManifestFile {
  std::string path;  // inside the repository, "/"-separated, checked by registry/safe_path
  Digest digest;
  std::uint64_t size_bytes = 0;
};

struct Manifest {
  std::string name;        // "tiny:latest", "org/name:latest", "org/name:<revision>"
  std::string source;      // "cyankiwi/GLM-4.7-Flash-AWQ-4bit", "bundled:glm-tiny"
  std::string revision;    // "main"
  std::string commit;      // 40 hex digits; of a bundle, the digest of its SHA256SUMS
  std::string modelfile;   // the catalog's or the user's text; may be empty
  std::string facts_json;  // summary made at pull time; may be empty
  std::vector<ManifestFile> files;
  std::string pulled_at;  // RFC 3339

  std::uint64_t size_bytes() const;

  // Over source, commit, Modelfile and files: equal content has an equal digest, whatever its name.
  Digest digest() const;
};

}  // namespace glm::store
