#include "runner/models/steps_in_flight.h"

#include "base/check.h"

namespace glm::runner {

using kernels::SampledRow;

namespace {

std::uint64_t results_bytes(std::int64_t rows) {
  return sizeof(StepTimes) + static_cast<std::uint64_t>(rows) * sizeof(SampledRow);
}

StepResults results_in(const kernels::Buffer& memory) {
  auto* bytes = static_cast<std::byte*>(memory.data());
  return {.times = reinterpret_cast<StepTimes*>(bytes),
          .sampled = reinterpret_cast<SampledRow*>(bytes + sizeof(StepTimes))};
}

}  // namespace

Result<StepsInFlight> StepsInFlight::allocate(kernels::Ops& ops, std::uint64_t inputs_bytes,
                                              std::int64_t rows_max) {
  StepsInFlight steps;
  steps.on_device_ = GLM_TRY(ops.allocate(results_bytes(rows_max)));
  for (Slot& slot : steps.slots_) {
    slot.inputs = GLM_TRY(ops.allocate_host(inputs_bytes));
    slot.results = GLM_TRY(ops.allocate_host(results_bytes(rows_max)));
    slot.done = GLM_TRY(ops.make_event());
  }
  return steps;
}

std::span<std::byte> StepsInFlight::inputs() {
  GLM_CHECK(!full());
  const kernels::Buffer& memory = slot(launched_).inputs;
  return {static_cast<std::byte*>(memory.data()), memory.size_bytes()};
}

StepResults StepsInFlight::results() const {
  return results_in(on_device_);
}

Status StepsInFlight::launch(kernels::Ops& ops, std::int64_t rows) {
  GLM_CHECK(!full());
  Slot& next = slot(launched_);
  const std::uint64_t size_bytes = results_bytes(rows);
  GLM_CHECK(size_bytes <= next.results.size_bytes());
  ops.download({static_cast<std::byte*>(next.results.data()), size_bytes}, on_device_.data());
  GLM_TRY(ops.mark(*next.done));
  next.rows = rows;
  ++launched_;
  return Ok{};
}

Result<std::span<const SampledRow>> StepsInFlight::collect(kernels::Ops& ops) {
  GLM_CHECK(!empty());
  Slot& oldest = slot(collected_++);
  GLM_TRY(ops.wait(*oldest.done));
  const StepResults results = results_in(oldest.results);
  collected_times_ = *results.times;
  return std::span<const SampledRow>(results.sampled, static_cast<std::size_t>(oldest.rows));
}

}  // namespace glm::runner
