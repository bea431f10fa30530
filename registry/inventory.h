// What of a source's files is in the store already: each is read again and hashed before it counts.
//
// Thread safety: none needed; `progress` is called by one thread at a time.
#pragma once

#include <optional>
#include <stop_token>
#include <vector>

#include "base/result.h"
#include "registry/pull.h"
#include "registry/source.h"
#include "store/blob_store.h"
#include "store/manifest.h"
#include "store/verify.h"

namespace glm::registry {

struct Held {
  store::BlobState state = store::BlobState::missing;
  std::optional<store::Digest> digest;  // unless it is missing
};

// Of each file, in their order. Files that the listing knows by a git id only are looked for among
// those of `before`, an earlier pull of the same name. Errc::cancelled when told to stop.
Result<std::vector<Held>> take_inventory(const store::BlobStore& blobs,
                                         const std::vector<RemoteFile>& files,
                                         const std::optional<store::Manifest>& before,
                                         const OnProgress& progress, std::stop_token stop);

}  // namespace glm::registry
