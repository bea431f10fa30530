// Which models there are, and which blobs they name: one SQLite file. All SQL is in index.cc.
//
// Blobs become durable first, then one transaction names them: a crash can only leave garbage.
//
// Thread safety: all members may be called from any thread.
#pragma once

#include <filesystem>
#include <memory>
#include <string_view>
#include <vector>

#include "base/mutex.h"
#include "base/result.h"
#include "store/manifest.h"
#include "store/sqlite.h"

namespace glm::store {

class Index {
 public:
  // Creates it, or brings an older one up to date. Errc::unsupported for a newer one.
  static Result<std::unique_ptr<Index>> open(const std::filesystem::path& path);

  // Replaces a model of the same name. Names are compared without case.
  Status put(const Manifest& manifest);

  // Errc::not_found.
  Result<Manifest> find(std::string_view name) const;

  Result<std::vector<Manifest>> list() const;  // newest first

  // Errc::not_found.
  Status remove(std::string_view name);

  Result<bool> is_referenced(const Digest& digest) const;

 private:
  explicit Index(Sqlite database) : database_(std::move(database)) {}
  Status migrate() GLM_REQUIRES(mutex_);
  Result<Manifest> read(Statement& row) const GLM_REQUIRES(mutex_);

  mutable Mutex mutex_;
  mutable Sqlite database_ GLM_GUARDED_BY(mutex_);
};

}  // namespace glm::store
