#include "cmd/bench/device_clock.h"

#include <algorithm>
#include <array>
#include <memory>
#include <span>
#include <vector>

namespace glm::bench {

Result<DeviceClock> DeviceClock::make(kernels::Ops& ops) {
  return DeviceClock(ops, GLM_TRY(ops.allocate(2 * sizeof(std::uint64_t))));
}

Result<double> DeviceClock::median_seconds(int repetitions, const std::function<void()>& enqueue) {
  auto* times = static_cast<std::uint64_t*>(times_.data());
  const auto timed = [&] {
    ops_.timestamp({.out = times});
    enqueue();
    ops_.timestamp({.out = times + 1});
  };
  timed();  // loads what runs for the first time
  GLM_TRY(ops_.sync());
  const std::unique_ptr<kernels::Recording> recording = ops_.record(timed);
  std::vector<double> all;
  for (int i = 0; i <= repetitions; ++i) {
    if (recording) {
      ops_.replay(*recording);
    } else {
      timed();
    }
    const double seconds = GLM_TRY(this->seconds());
    if (i > 0) all.push_back(seconds);
  }
  std::sort(all.begin(), all.end());
  return all[all.size() / 2];
}

Result<double> DeviceClock::seconds() {
  std::array<std::uint64_t, 2> nanoseconds = {};
  ops_.download(std::as_writable_bytes(std::span(nanoseconds)), times_.data());
  GLM_TRY(ops_.sync());
  return static_cast<double>(nanoseconds[1] - nanoseconds[0]) * 1e-9;
}

}  // namespace glm::bench
