// The weight of a module in the memory of a backend.
//
// Its memory is set aside when the module is claimed and filled by other threads, which keep it
// alive as long as they write: until WeightLoader::finish() the bytes are anything.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "base/result.h"
#include "kernels/ops.h"
#include "kernels/weight_format.h"

namespace glm::runner {

// One weight, or those of all experts of a layer, one after the other in each part.
class DeviceWeight {
 public:
  DeviceWeight() = default;  // empty: of no bytes
  // Errc::exhausted.
  static Result<DeviceWeight> allocate(kernels::Ops& ops, const kernels::WeightLayout& layout,
                                       std::int64_t experts = 1);

  // Some of its rows, in the same memory. Of the only weight, which stacks(); `first` begins a
  // block of scales.
  DeviceWeight rows(std::int64_t first, std::int64_t count) const;

  const kernels::WeightLayout& layout() const { return layout_; }
  kernels::WeightView view() const;  // of the only one
  kernels::ExpertsView experts() const;
  std::uint64_t size_bytes() const;

  // Where the parts of one expert lie. Only a backend's own code may look there, unless its memory
  // is the host's.
  kernels::WeightParts<std::span<std::byte>> parts(std::int64_t expert = 0) const;

 private:
  std::size_t first_byte(kernels::WeightPart part) const;
  kernels::WeightParts<const void*> addresses() const;

  kernels::WeightLayout layout_;
  std::int64_t experts_ = 1;
  std::int64_t first_row_ = 0;
  std::shared_ptr<const kernels::WeightParts<kernels::Buffer>> parts_;
};

}  // namespace glm::runner
