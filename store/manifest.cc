#include "store/manifest.h"

#include <fmt/format.h>

#include <algorithm>

#include "store/sha256.h"

namespace glm::store {

std::uint64_t Manifest::size_bytes() const {
  std::uint64_t total = 0;
  for (const ManifestFile& file : files) total += file.size_bytes;
  return total;
}

Digest Manifest::digest() const {
  Sha256 hash;
  // Lengths keep neighbouring fields apart.
  const auto field = [&](std::string_view text) {
    hash.update(fmt::format("{}:", text.size()));
    hash.update(text);
  };
  field(source);
  field(commit);
  field(modelfile);
  std::vector<const ManifestFile*> sorted;
  for (const ManifestFile& file : files) sorted.push_back(&file);
  std::sort(sorted.begin(), sorted.end(),
            [](const ManifestFile* a, const ManifestFile* b) { return a->path < b->path; });
  for (const ManifestFile* file : sorted) {
    field(file->path);
    field(file->digest.hex());
  }
  return hash.finish();
}

}  // namespace glm::store
