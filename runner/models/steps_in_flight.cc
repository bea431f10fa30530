#include "runner/models/steps_in_flight.h"

#include "base/check.h"

namespace glm::runner {

using kernels::SampledRow;

Result<StepsInFlight> StepsInFlight::allocate(kernels::Ops& ops, std::uint64_t inputs_bytes,
                                              std::int64_t rows_max) {
  StepsInFlight steps;
  for (Slot& slot : steps.slots_) {
    slot.inputs = GLM_TRY(ops.allocate_host(inputs_bytes));
    slot.sampled = GLM_TRY(
        ops.allocate_host(static_cast<std::uint64_t>(rows_max) * sizeof(kernels::SampledRow)));
    slot.done = GLM_TRY(ops.make_event());
  }
  return steps;
}

std::span<std::byte> StepsInFlight::inputs() {
  GLM_CHECK(!full());
  const kernels::Buffer& memory = slot(launched_).inputs;
  return {static_cast<std::byte*>(memory.data()), memory.size_bytes()};
}

Status StepsInFlight::launch(kernels::Ops& ops, const SampledRow* sampled, std::int64_t rows) {
  GLM_CHECK(!full());
  Slot& next = slot(launched_);
  const std::uint64_t size_bytes = static_cast<std::uint64_t>(rows) * sizeof(SampledRow);
  GLM_CHECK(size_bytes <= next.sampled.size_bytes());
  ops.download({static_cast<std::byte*>(next.sampled.data()), size_bytes}, sampled);
  GLM_TRY(ops.mark(*next.done));
  next.rows = rows;
  ++launched_;
  return Ok{};
}

Result<std::span<const SampledRow>> StepsInFlight::collect(kernels::Ops& ops) {
  GLM_CHECK(!empty());
  Slot& oldest = slot(collected_++);
  GLM_TRY(ops.wait(*oldest.done));
  return std::span<const SampledRow>(static_cast<const SampledRow*>(oldest.sampled.data()),
                                     static_cast<std::size_t>(oldest.rows));
}

}  // namespace glm::runner
