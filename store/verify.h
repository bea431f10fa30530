// Blobs read again: bytes that were right when they came can have changed on the disk since.
//
// Thread safety: as BlobStore; may run beside whatever else happens in the store.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <stop_token>
#include <vector>

#include "base/result.h"
#include "store/blob_store.h"
#include "store/manifest.h"

namespace glm::store {

enum class BlobState {
  missing,
  damaged,  // of another size or digest, or the disk cannot read it
  whole,
};

// Called from several threads, by one at a time. `file` counts from 0.
struct VerifyEvents {
  std::function<void(std::size_t file, std::uint64_t read_bytes)> read;
  std::function<void(std::size_t file, BlobState state)> done;
};

// The state of each file's blob, in their order; as many are read at a time as there are cores.
// What is damaged stays where it is: the next writer's commit puts a whole one in its place.
// Errc::cancelled when told to stop.
Result<std::vector<BlobState>> verify(const BlobStore& blobs, std::span<const ManifestFile> files,
                                      const VerifyEvents& events, std::stop_token stop);

}  // namespace glm::store
