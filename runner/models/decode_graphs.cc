#include "runner/models/decode_graphs.h"

#include <algorithm>

namespace glm::runner {
namespace {

constexpr std::size_t kShapesMax = 64;

}  // namespace

Status DecodeGraphs::run(kernels::Ops& ops, const DecodeShape& shape,
                         const std::function<void()>& enqueue) {
  const bool seen = entries_.contains(shape);
  if (!seen) GLM_TRY(make_room(ops));
  Entry& entry = entries_[shape];
  entry.used = ++steps_;
  if (!seen) {  // kernels are loaded on first use, which must not be recorded
    enqueue();
    return Ok{};
  }
  if (!entry.tried) {
    entry.tried = true;
    entry.recording = ops.record(enqueue);
  }
  if (entry.recording == nullptr) {
    enqueue();
  } else {
    ops.replay(*entry.recording);
  }
  return Ok{};
}

Status DecodeGraphs::make_room(kernels::Ops& ops) {
  if (entries_.size() < kShapesMax) return Ok{};
  GLM_TRY(ops.sync());  // what is dropped may still run
  entries_.erase(
      std::min_element(entries_.begin(), entries_.end(),
                       [](const auto& a, const auto& b) { return a.second.used < b.second.used; }));
  return Ok{};
}

}  // namespace glm::runner
