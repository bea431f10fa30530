// One file from a source into the store: in several ranges at once, hashed in order as it comes,
// verified before it counts.
#pragma once

#include <cstdint>
#include <functional>
#include <stop_token>

#include "base/result.h"
#include "registry/source.h"
#include "store/blob_store.h"

namespace glm::registry {

// Files without a SHA-256 in the listing are small ones kept in git.
inline constexpr std::uint64_t kGitSizeMax = 64ull << 20;

struct DownloadOptions {
  std::uint64_t part_bytes = 8ull << 20;  // of one ranged request
  bool replace = false;                   // what is here under the digest is damaged
};

using ByteProgress = std::function<void(std::uint64_t bytes)>;

// How far a file is: of what an earlier attempt left, the bytes that were read again; then all that
// are here.
struct DownloadProgress {
  ByteProgress reread;
  ByteProgress completed;
};

// Returns the digest under which the file now is in the store; does nothing when it is there and is
// not to be replaced. Bytes of an earlier attempt count. A wrong digest is fetched once more from
// the start and is then Errc::corrupt, with nothing left behind. Otherwise the errors of the source
// and of the store; what has arrived stays for the next attempt.
Result<store::Digest> download(const store::BlobStore& blobs, Source& source,
                               const Snapshot& snapshot, const RemoteFile& file,
                               const DownloadOptions& options, const DownloadProgress& progress,
                               std::stop_token stop);

}  // namespace glm::registry
