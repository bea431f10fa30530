// Everything glm keeps: blobs and the index that names them, under one root.
//
//   <root>/blobs/ab/ab12…ef   <root>/partials/<hex>   <root>/index.db   (docs/store_format.md)
//
// Whatever crashes, a published model is complete: blobs are durable before the one transaction
// that names them. What a crash leaves behind is garbage that gc() removes or the next pull uses.
//
// Thread safety: all members may be called from any thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/mutex.h"
#include "base/result.h"
#include "store/blob_store.h"
#include "store/index.h"
#include "store/manifest.h"

namespace glm::store {

struct GcReport {
  std::uint64_t blobs = 0;
  std::uint64_t partials = 0;
  std::uint64_t freed_bytes = 0;
};

class Store {
 public:
  // Creates the root (0700) where there is none.
  static Result<std::unique_ptr<Store>> open(const std::filesystem::path& root);

  const BlobStore& blobs() const { return blobs_; }

  // For people, where the names of models were lost: from the first open() that finds files but no
  // index, or an empty one, until a model is published. Else empty.
  std::string warning() const;

  // Makes the model visible, in place of one with the same name. Errc::not_found when a blob is
  // not there: pull it again. Blobs that only the replaced one named are removed.
  Status publish(const Manifest& manifest);

  Result<Manifest> find(std::string_view name) const { return index_->find(name); }
  Result<std::vector<Manifest>> list() const { return index_->list(); }

  // Of every model, for a name that is not among them. Empty when they cannot be read.
  std::vector<std::string> names() const;

  // The name first, then blobs nobody names any more. Errc::not_found.
  Status remove(std::string_view name);

  // Errc::not_found; already_exists when `to` names another model.
  Status copy(std::string_view from, std::string_view to);

  // Removes blobs and partials that nobody names and nobody has touched for so long.
  Result<GcReport> gc(std::chrono::seconds untouched_min) const;

 private:
  Store(BlobStore blobs, std::unique_ptr<Index> index)
      : blobs_(std::move(blobs)), index_(std::move(index)) {}
  Status remove_unreferenced(const std::vector<ManifestFile>& files) GLM_REQUIRES(naming_);

  const BlobStore blobs_;
  const std::unique_ptr<Index> index_;
  // Between looking whether blobs are there or needed and acting on it.
  mutable Mutex naming_;
};

}  // namespace glm::store
