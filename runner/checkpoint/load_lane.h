// How one thread brings weights from files into the memory of a backend: straight into it where it
// is host memory, otherwise by way of memory the device copies from.
//
// Thread safety: none; each thread has its own.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "base/result.h"
#include "kernels/ops.h"
#include "runner/checkpoint/formats.h"

namespace glm::runner {

// What threads spent, all together.
struct LoadTimes {
  double read_s = 0;    // reading and repacking
  double upload_s = 0;  // waiting for the device

  LoadTimes& operator+=(const LoadTimes& other) {
    read_s += other.read_s;
    upload_s += other.upload_s;
    return *this;
  }
};

class LoadLane {
 public:
  // What is larger than this on its way to a device takes pageable memory and more time.
  static constexpr std::uint64_t kMemoryBytes = 16U << 20U;

  explicit LoadLane(kernels::Ops& ops) : ops_(ops) {}

  // `target` is memory of the backend. `read` is given as much memory to fill, which then is there.
  using Read = std::function<Status(const WeightMemory& memory)>;
  Status fill(const WeightMemory& target, const Read& read);

  const LoadTimes& times() const { return times_; }

 private:
  Status send(const WeightMemory& target, const WeightMemory& from);

  kernels::Ops& ops_;
  bool opened_ = false;
  std::unique_ptr<kernels::Uploader> uploader_;  // null where memory is written as it is
  LoadTimes times_;
};

}  // namespace glm::runner
