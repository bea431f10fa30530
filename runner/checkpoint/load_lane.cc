#include "runner/checkpoint/load_lane.h"

#include <chrono>
#include <span>

namespace glm::runner {
namespace {

class Stopwatch {
 public:
  explicit Stopwatch(double& sum_s) : sum_s_(sum_s) {}
  ~Stopwatch() {
    sum_s_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - begun_).count();
  }
  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;

 private:
  double& sum_s_;
  std::chrono::steady_clock::time_point begun_ = std::chrono::steady_clock::now();
};

constexpr std::size_t kAlignment = 64;

std::size_t padded(std::size_t size) {
  return (size + kAlignment - 1) / kAlignment * kAlignment;
}

}  // namespace

Status LoadLane::fill(const WeightMemory& target, const Read& read) {
  if (!opened_) {
    uploader_ = GLM_TRY(ops_.make_uploader(kMemoryBytes));
    opened_ = true;
  }
  if (!uploader_) {
    const Stopwatch reading(times_.read_s);
    return read(target);
  }
  std::size_t size = 0;
  for (const std::span<std::byte> part : target) size += padded(part.size());
  std::span<std::byte> memory = uploader_->memory();
  std::unique_ptr<std::byte[]> large;
  if (size > memory.size()) {
    large.reset(new std::byte[size]);  // somebody is about to write it: not cleared first
    memory = {large.get(), size};
  }
  WeightMemory own;
  for (std::size_t i = 0; i < own.size(); ++i) {
    own[i] = memory.first(target[i].size());
    memory = memory.subspan(padded(target[i].size()));
  }
  {
    const Stopwatch reading(times_.read_s);
    GLM_TRY(read(own));
  }
  const Stopwatch uploading(times_.upload_s);
  return send(target, own);
}

Status LoadLane::send(const WeightMemory& target, const WeightMemory& from) {
  for (std::size_t i = 0; i < target.size(); ++i) {
    if (!target[i].empty()) uploader_->send(target[i].data(), from[i]);
  }
  return uploader_->wait();
}

}  // namespace glm::runner
