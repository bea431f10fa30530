#include "cmd/bench/device.h"

#include <algorithm>
#include <cstdint>
#include <random>
#include <span>
#include <vector>

#include "cmd/bench/device_clock.h"
#include "kernels/device_info.h"
#include "runner/device_choice.h"
#include "runner/models/registry.h"
#include "runner/plan/this_machine.h"

namespace glm::bench {
namespace {

// Far more than caches hold; of memory that is short less.
constexpr std::uint64_t kReadOnGpuBytes = 4ULL << 30U;
constexpr std::uint64_t kReadOnCpuBytes = 512ULL << 20U;
constexpr std::uint64_t kBlockBytes = 16ULL << 20U;
constexpr int kRepetitions = 11;

std::string version_text(int version) {
  return fmt::format("{}.{}", version / 1000, version % 1000 / 10);
}

Result<Device> describe(std::string name) {
  if (name == "cpu") {
    const std::string product = runner::find_cpu().name;
    return Device{name, fmt::format("cpu ({})", product), product, false};
  }
  for (const kernels::DeviceInfo& info : GLM_TRY(kernels::probe_devices())) {
    if (name != fmt::format("cuda:{}", info.index)) continue;
    std::string text = fmt::format(
        "{} ({}, compute capability {}.{}, {} multiprocessors, CUDA {} on a driver for {})",
        info.name, name, info.compute_major, info.compute_minor, info.multiprocessors,
        version_text(info.runtime_version), version_text(info.driver_version));
    return Device{name, std::move(text), info.name, true};
  }
  return make_error(Errc::device, "--device {}: there is no such GPU", name);
}

Status fill(kernels::Ops& ops, const kernels::Buffer& memory) {
  std::vector<std::uint64_t> block(kBlockBytes / sizeof(std::uint64_t));
  std::mt19937_64 random(1);
  for (std::uint64_t& word : block) word = random();
  const std::span<const std::byte> bytes = std::as_bytes(std::span<const std::uint64_t>(block));
  for (std::uint64_t at = 0; at < memory.size_bytes(); at += bytes.size()) {
    const auto count = std::min<std::uint64_t>(bytes.size(), memory.size_bytes() - at);
    ops.upload(static_cast<std::byte*>(memory.data()) + at,
               bytes.first(static_cast<std::size_t>(count)));
  }
  return ops.sync();
}

}  // namespace

Result<Device> find_device(const std::string& wanted) {
  const runner::DeviceChoice choice = GLM_TRY(runner::choose_device(wanted));
  return describe(choice.name);
}

Result<std::unique_ptr<kernels::Ops>> open(const Device& device, int threads) {
  runner::LoadOptions options;
  options.device = device.name;
  options.threads = threads;
  return runner::open_device(options);
}

Result<double> measure_read_ceiling(kernels::Ops& ops, const Device& device) {
  const std::uint64_t free_bytes = ops.memory().free_bytes;
  std::uint64_t size_bytes = device.gpu ? kReadOnGpuBytes : kReadOnCpuBytes;
  if (free_bytes > 0) size_bytes = std::min(size_bytes, free_bytes / 2);
  size_bytes = std::max(size_bytes / kBlockBytes, std::uint64_t{1}) * kBlockBytes;
  const kernels::Buffer memory =
      GLM_TRY(ops.allocate(size_bytes).with("measure how fast memory is read"));
  const kernels::Buffer sum = GLM_TRY(ops.allocate(sizeof(std::uint32_t)));
  GLM_TRY(fill(ops, memory));
  DeviceClock clock = GLM_TRY(DeviceClock::make(ops));
  const double seconds = GLM_TRY(clock.median_seconds(kRepetitions, [&] {
    ops.read_memory({.out = static_cast<std::uint32_t*>(sum.data()),
                     .data = memory.data(),
                     .size_bytes = size_bytes});
  }));
  return static_cast<double>(size_bytes) / seconds;
}

Result<double> measure_multiply_ceiling(kernels::Ops& ops) {
  const kernels::Buffer out = GLM_TRY(ops.allocate(sizeof(std::uint64_t)));
  DeviceClock clock = GLM_TRY(DeviceClock::make(ops));
  auto* done = static_cast<std::uint64_t*>(out.data());
  const double seconds =
      GLM_TRY(clock.median_seconds(kRepetitions, [&] { ops.multiply({.out = done}); }));
  std::uint64_t operations = 0;
  ops.download(std::as_writable_bytes(std::span(&operations, 1)), out.data());
  GLM_TRY(ops.sync());
  return static_cast<double>(operations) / seconds;
}

}  // namespace glm::bench
