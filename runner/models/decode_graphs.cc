#include "runner/models/decode_graphs.h"

#include <algorithm>

#include "runner/schedule/batch_limits.h"

namespace glm::runner {

void DecodeGraphs::run(kernels::Ops& ops, const DecodeShape& shape,
                       const std::function<void()>& enqueue) {
  const bool seen = entries_.contains(shape);
  if (!seen) make_room();
  Entry& entry = entries_[shape];
  entry.used = ++steps_;
  if (!seen) return enqueue();  // kernels are loaded on first use, which must not be recorded
  if (!entry.tried) {
    entry.tried = true;
    entry.recording = ops.record(enqueue);
  }
  if (entry.recording == nullptr) return enqueue();
  ops.replay(*entry.recording);
}

// The caller has waited for the last step, so nothing that is dropped still runs.
void DecodeGraphs::make_room() {
  if (entries_.size() < kRecordedStepsMax) return;
  entries_.erase(
      std::min_element(entries_.begin(), entries_.end(),
                       [](const auto& a, const auto& b) { return a.second.used < b.second.used; }));
}

}  // namespace glm::runner
