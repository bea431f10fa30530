// How long operations take, by the clock of the device that runs them.
//
// Thread safety: none, as the device's.
#pragma once

#include <cstdint>
#include <functional>

#include "base/result.h"
#include "kernels/ops.h"

namespace glm::bench {

class DeviceClock {
 public:
  // `ops` outlives it. Errc::exhausted.
  static Result<DeviceClock> make(kernels::Ops& ops);

  // From the first of what `enqueue` asks for to the end of the last: the median of `repetitions`
  // after one that does not count. Recorded where the device records. Errc::device.
  Result<double> median_seconds(int repetitions, const std::function<void()>& enqueue);

 private:
  DeviceClock(kernels::Ops& ops, kernels::Buffer times) : ops_(ops), times_(std::move(times)) {}
  Result<double> seconds();

  kernels::Ops& ops_;
  kernels::Buffer times_;  // before and after
};

}  // namespace glm::bench
