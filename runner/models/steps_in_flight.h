// Steps that the device was asked for and whose tokens nobody has collected yet, with the memory of
// the host that each reads its inputs from and writes its tokens to meanwhile.
//
// Thread safety: none.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>

#include "base/result.h"
#include "kernels/ops.h"
#include "runner/models/model.h"

namespace glm::runner {

class StepsInFlight {
 public:
  static Result<StepsInFlight> allocate(kernels::Ops& ops, std::uint64_t inputs_bytes,
                                        std::int64_t rows_max);

  bool empty() const { return launched_ == collected_; }
  bool full() const { return launched_ - collected_ == kStepsInFlightMax; }

  // Where the inputs of the next step go; not while full.
  std::span<std::byte> inputs();

  // The operations of the next step have been asked for: fetches its tokens when they are done.
  // After a failure the step does not count.
  Status launch(kernels::Ops& ops, const kernels::SampledRow* sampled, std::int64_t rows);

  // The tokens of the oldest step, which must be there; valid until the next collect().
  Result<std::span<const kernels::SampledRow>> collect(kernels::Ops& ops);

 private:
  struct Slot {
    kernels::Buffer inputs;
    kernels::Buffer sampled;
    std::unique_ptr<kernels::Event> done;
    std::int64_t rows = 0;
  };
  Slot& slot(std::uint64_t step) { return slots_[step % slots_.size()]; }

  // One more than may be under way: what was collected last stays readable.
  std::array<Slot, kStepsInFlightMax + 1> slots_;
  std::uint64_t launched_ = 0;
  std::uint64_t collected_ = 0;
};

}  // namespace glm::runner
