// Reads many pieces of a checkpoint's files fast, into memory the caller owns.
//
// Weights go from the disk through a small ring of slots (pinned memory, once there is a GPU) to
// where they belong. Several threads fill slots with large preads; the calling thread is handed one
// filled slot after the other and passes its pieces on. Memory is that of the slots and of the
// extents given: nothing grows with the files.
//
// What is read: extents are taken in the order of file and offset. Neighbours, and those with only
// a small gap between them, share one pread; what is larger than a slot is split. So every pread
// but the last of a stretch fills its slot, whatever the tensors' sizes.
//
// Order of delivery: as reads complete. A piece says where it belongs, so order carries no meaning,
// and keeping it would let one slow read hold back slots that are full.
//
//   reader threads:  free slot -> before_fill(slot) -> pread -> full
//   calling thread:  full -> deliver(filled) -> free, behind all others that are free
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <stop_token>
#include <vector>

#include "base/result.h"
#include "runner/checkpoint/checkpoint.h"

namespace glm::runner {

// `size_bytes` bytes of a tensor from `first_byte` on. Extents may overlap; one of no bytes is
// never delivered.
struct Extent {
  const TensorInfo* tensor = nullptr;  // of the checkpoint that is read
  std::uint64_t first_byte = 0;
  std::uint64_t size_bytes = 0;
  std::uint64_t tag = 0;  // the caller's
};

// One piece of an extent; all pieces of it together are the extent, each byte once.
struct ExtentPiece {
  std::uint64_t tag = 0;
  std::uint64_t extent_offset = 0;   // from the extent's first byte
  std::span<const std::byte> bytes;  // in the slot
};

struct FilledSlot {
  std::size_t slot = 0;
  std::span<const ExtentPiece> pieces;
  std::uint64_t completed_bytes = 0;  // of all extents, this slot's pieces included
  std::uint64_t total_bytes = 0;
};

struct ExtentReading {
  // At least one, none empty, of any sizes. They belong to the reader until read_extents returns.
  std::span<const std::span<std::byte>> slots;
  std::size_t threads = 4;             // that read; more than there are slots would only wait
  std::uint64_t gap_max_bytes = 4096;  // read and dropped rather than sought over

  // Called on the calling thread, one slot at a time. The slot may be filled again as soon as this
  // returns, and once before_fill, if there is one, has returned for it. An error ends the reading.
  std::function<Status(const FilledSlot& filled)> deliver;

  // For copies that go on after deliver(): returns when the slot may be overwritten. Called on a
  // reader thread before each filling, the first one included; must be safe to call from any
  // thread. May be empty.
  std::function<Status(std::size_t slot)> before_fill;

  std::stop_token stop;
};

// Returns when everything was delivered, or with the first error; nothing is delivered after that,
// and no thread and no read is left behind. Errc::cancelled: a stop was requested, which is noticed
// within one pread. Errc::corrupt: a file is shorter than it was.
Status read_extents(const Checkpoint& checkpoint, std::vector<Extent> extents,
                    const ExtentReading& reading);

}  // namespace glm::runner
