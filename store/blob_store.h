// Content-addressed blobs on local disk.
//
// A blob is an immutable file named after its SHA-256: <root>/blobs/ab/ab12…ef. A name exists only
// if every byte behind it was hashed on the way in, so a reader never sees a partial or wrong blob,
// whatever crashed before. What a disk or a person does to it later is found by store/verify.h, and
// the next writer's commit() puts another file in its place: who has the old one open keeps it. Who
// still needs a blob is the index's business; see store/index.h.
//
//   writer() ──append()*──► <root>/partials/<hex> ──commit(): size, digest, fsync, rename──► blob
//                                 │ destroyed, killed: stays, resumed by the next writer()
//                                 └ wrong digest: removed
//
// Thread safety: const members may be called from any thread and any process. A partial has one
// writer at a time; a second one gets Errc::unavailable.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "base/result.h"
#include "store/digest.h"

namespace glm::store {

// One blob on its way in. Destroyed without commit(), its bytes stay as a resumable partial.
class BlobWriter {
 public:
  virtual ~BlobWriter() = default;
  virtual std::uint64_t offset() const = 0;  // bytes already here, from an earlier attempt too

  // Errc::exhausted: disk full or quota; corrupt: more bytes than the blob has.
  virtual Status append(std::span<const std::byte> bytes) = 0;

  // Verifies size and digest, syncs file and directory, renames into place.
  // Errc::corrupt: bytes are missing, or they do not match and the partial has been removed.
  virtual Status commit() = 0;

  // Forgets what is here: offset() is 0 again.
  virtual Status restart() = 0;
};

// How many bytes of an earlier attempt were read again so far; false gives up.
using OnReread = std::function<bool(std::uint64_t read_bytes)>;

class BlobStore {
 public:
  // Creates <root>/blobs and <root>/partials.
  static Result<BlobStore> open(std::filesystem::path root);

  bool contains(const Digest& digest) const;

  // The same, and it is as long as it should be. One that somebody cut or lengthened since is not;
  // a writer puts a whole one in its place.
  bool contains(const Digest& digest, std::uint64_t size_bytes) const;

  // Errc::not_found if absent. Valid until the blob is removed.
  Result<std::filesystem::path> path(const Digest& digest) const;

  // Errc::exhausted if what is missing of size_bytes will not fit, found out now rather than at
  // 90 %. Errc::unavailable while another writer has this blob. What an earlier attempt left is
  // hashed first, which takes as long as the disk does to read it; Errc::cancelled if `reread` says
  // so, and then it stays for the next.
  Result<std::unique_ptr<BlobWriter>> writer(const Digest& digest, std::uint64_t size_bytes,
                                             const OnReread& reread = {}) const;

  // Errc::exhausted, with both numbers, unless the disk has room for so many bytes and a margin.
  Status check_room(std::uint64_t size_bytes) const;

  // Bytes of an earlier attempt that the next writer() will not need again.
  std::uint64_t partial_bytes(const Digest& digest) const;

  // What that attempt has of the disk, room it had reserved included.
  std::uint64_t held_bytes(const Digest& digest) const;

  // Removing what is not there succeeds.
  Status remove(const Digest& digest) const;

  // Every blob, in no order.
  Result<std::vector<Digest>> list() const;

  // As if every blob had just come.
  Status renew() const;

  const std::filesystem::path& root() const { return root_; }

 private:
  explicit BlobStore(std::filesystem::path root) : root_(std::move(root)) {}
  std::filesystem::path blob_path(const Digest& digest) const;
  std::filesystem::path partial_path(const Digest& digest) const;

  std::filesystem::path root_;
};

}  // namespace glm::store
