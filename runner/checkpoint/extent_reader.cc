#include "runner/checkpoint/extent_reader.h"

#include <algorithm>
#include <deque>
#include <optional>
#include <thread>
#include <tuple>

#include "base/check.h"
#include "base/mutex.h"

namespace glm::runner {
namespace {

// One pread and what of it is wanted.
struct Chunk {
  std::size_t slot = 0;
  const SafetensorsFile* file = nullptr;
  std::uint64_t offset = 0;  // in the file
  std::uint64_t size_bytes = 0;
  std::uint64_t wanted_bytes = 0;
  std::vector<ExtentPiece> pieces;
};

// Cuts the extents into chunks, one at a time, so that the plan needs no memory of its own.
class Cursor {
 public:
  Cursor(const Checkpoint& checkpoint, std::vector<Extent> extents, std::uint64_t gap_max_bytes)
      : gap_max_bytes_(gap_max_bytes) {
    for (const Extent& extent : extents) {
      GLM_CHECK(extent.tensor != nullptr && extent.first_byte <= extent.tensor->size_bytes &&
                extent.size_bytes <= extent.tensor->size_bytes - extent.first_byte);
      if (extent.size_bytes == 0) continue;
      places_.push_back({.file = &checkpoint.file_of(*extent.tensor),
                         .offset = extent.tensor->offset + extent.first_byte,
                         .size_bytes = extent.size_bytes,
                         .tag = extent.tag});
      total_bytes_ += extent.size_bytes;
    }
    std::stable_sort(places_.begin(), places_.end(), [](const Place& a, const Place& b) {
      return std::tie(a.file, a.offset) < std::tie(b.file, b.offset);  // files of one vector
    });
  }

  std::uint64_t total_bytes() const { return total_bytes_; }
  bool done() const { return next_ == places_.size(); }

  // The next chunk that fits into `slot`. Not when done.
  void next(std::span<std::byte> slot, Chunk& chunk) {
    chunk.file = places_[next_].file;
    chunk.offset = places_[next_].offset + taken_bytes_;
    while (!done()) {
      const Place& place = places_[next_];
      const std::uint64_t begin = place.offset + taken_bytes_;
      const std::uint64_t end = chunk.offset + chunk.size_bytes;
      // An overlapping extent may begin before this chunk does.
      if (place.file != chunk.file || begin < chunk.offset) return;
      if (begin > end && begin - end > gap_max_bytes_) return;
      const std::uint64_t at = begin - chunk.offset;
      if (at >= slot.size()) return;
      const std::uint64_t bytes =
          std::min<std::uint64_t>(place.size_bytes - taken_bytes_, slot.size() - at);
      chunk.pieces.push_back(
          {.tag = place.tag, .extent_offset = taken_bytes_, .bytes = slot.subspan(at, bytes)});
      chunk.size_bytes = std::max(chunk.size_bytes, at + bytes);
      chunk.wanted_bytes += bytes;
      taken_bytes_ += bytes;
      if (taken_bytes_ < place.size_bytes) return;  // the slot is full
      ++next_;
      taken_bytes_ = 0;
    }
  }

 private:
  struct Place {
    const SafetensorsFile* file;
    std::uint64_t offset;
    std::uint64_t size_bytes;
    std::uint64_t tag;
  };
  std::vector<Place> places_;
  std::uint64_t gap_max_bytes_;
  std::uint64_t total_bytes_ = 0;
  std::size_t next_ = 0;           // place
  std::uint64_t taken_bytes_ = 0;  // of it
};

class Reading {
 public:
  Reading(const ExtentReading& reading, Cursor cursor)
      : reading_(reading), cursor_(std::move(cursor)), total_bytes_(cursor_.total_bytes()) {
    for (std::size_t slot = 0; slot < reading.slots.size(); ++slot) free_.push_back(slot);
  }

  Status run() {
    {
      std::vector<std::jthread> threads;
      const std::size_t count = std::min(reading_.threads, reading_.slots.size());
      {
        MutexLock lock(mutex_);
        readers_ = count;
      }
      for (std::size_t i = 0; i < count; ++i) threads.emplace_back([this] { fill_slots(); });
      deliver_slots();
    }  // the readers end here
    MutexLock lock(mutex_);
    if (error_) return *std::move(error_);
    return Ok{};
  }

 private:
  // The first error wins, and everyone looks at it before the next step.
  void fail(Error error) GLM_REQUIRES(mutex_) {
    if (!error_) error_ = std::move(error);
    slot_free_.notify_all();
    slot_full_.notify_all();
  }
  bool stopped() GLM_REQUIRES(mutex_) {
    if (!error_ && reading_.stop.stop_requested()) {
      fail(make_error(Errc::cancelled, "reading the weights was cancelled"));
    }
    return error_.has_value();
  }

  Status fill(const Chunk& chunk) const {
    if (reading_.before_fill) GLM_TRY(reading_.before_fill(chunk.slot));
    return chunk.file->read_range(chunk.offset, reading_.slots[chunk.slot].first(chunk.size_bytes));
  }

  void fill_slots() GLM_EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    while (true) {
      while (free_.empty() && !cursor_.done() && !stopped()) lock.wait(slot_free_);
      if (stopped() || cursor_.done()) break;
      Chunk chunk;
      chunk.slot = free_.front();
      free_.pop_front();
      cursor_.next(reading_.slots[chunk.slot], chunk);
      lock.unlock();
      Status filled = fill(chunk);
      lock.lock();
      if (!filled.ok()) {
        fail(std::move(filled).error());
        break;
      }
      full_.push_back(std::move(chunk));
      slot_full_.notify_all();
    }
    --readers_;
    slot_free_.notify_all();  // whoever waits for a slot may find that nothing is left to read
    slot_full_.notify_all();
  }

  void deliver_slots() GLM_EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    while (true) {
      while (full_.empty() && readers_ > 0 && !stopped()) lock.wait(slot_full_);
      if (stopped() || full_.empty()) return;
      const Chunk chunk = std::move(full_.front());
      full_.pop_front();
      completed_bytes_ += chunk.wanted_bytes;
      const FilledSlot filled{.slot = chunk.slot,
                              .pieces = chunk.pieces,
                              .completed_bytes = completed_bytes_,
                              .total_bytes = total_bytes_};
      lock.unlock();
      Status delivered = reading_.deliver(filled);
      lock.lock();
      if (!delivered.ok()) return fail(std::move(delivered).error());
      free_.push_back(chunk.slot);
      slot_free_.notify_one();
    }
  }

  const ExtentReading& reading_;
  Mutex mutex_;
  std::condition_variable slot_free_;
  std::condition_variable slot_full_;
  std::deque<std::size_t> free_ GLM_GUARDED_BY(mutex_);  // the one free longest first
  std::deque<Chunk> full_ GLM_GUARDED_BY(mutex_);
  Cursor cursor_ GLM_GUARDED_BY(mutex_);
  std::size_t readers_ GLM_GUARDED_BY(mutex_) = 0;
  std::uint64_t completed_bytes_ GLM_GUARDED_BY(mutex_) = 0;
  std::optional<Error> error_ GLM_GUARDED_BY(mutex_);
  const std::uint64_t total_bytes_;
};

}  // namespace

Status read_extents(const Checkpoint& checkpoint, std::vector<Extent> extents,
                    const ExtentReading& reading) {
  GLM_CHECK(!reading.slots.empty() && reading.threads > 0 && reading.deliver);
  for (const std::span<std::byte> slot : reading.slots) GLM_CHECK(!slot.empty());
  return Reading(reading, Cursor(checkpoint, std::move(extents), reading.gap_max_bytes)).run();
}

}  // namespace glm::runner
