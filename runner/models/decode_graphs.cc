#include "runner/models/decode_graphs.h"

#include <algorithm>

#include "runner/schedule/batch_limits.h"

namespace glm::runner {
namespace {

std::int64_t round_up(std::int64_t value, std::int64_t to) {
  return (value + to - 1) / to * to;
}

}  // namespace

std::int64_t recorded_sequences(std::int64_t sequences) {
  if (sequences <= 8) return sequences;
  if (sequences <= 32) return round_up(sequences, 4);
  return round_up(sequences, sequences <= 64 ? 8 : 16);
}

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
  if (entries_.size() < kRecordedStepsMax) return Ok{};
  GLM_TRY(ops.sync());  // what is dropped may still run
  entries_.erase(
      std::min_element(entries_.begin(), entries_.end(),
                       [](const auto& a, const auto& b) { return a.second.used < b.second.used; }));
  return Ok{};
}

}  // namespace glm::runner
