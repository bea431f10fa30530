#include "runner/checkpoint/device_weight.h"

#include "base/check.h"

namespace glm::runner {

using kernels::WeightPart;

Result<DeviceWeight> DeviceWeight::allocate(kernels::Ops& ops, const kernels::WeightLayout& layout,
                                            std::int64_t experts) {
  kernels::WeightParts<kernels::Buffer> parts;
  for (const WeightPart part : kernels::kAllWeightParts) {
    const auto size_bytes = static_cast<std::uint64_t>(layout.bytes(part) * experts);
    if (size_bytes == 0) continue;
    parts[static_cast<std::size_t>(part)] = GLM_TRY(ops.allocate(size_bytes));
  }
  DeviceWeight weight;
  weight.layout_ = layout;
  weight.experts_ = experts;
  weight.parts_ = std::make_shared<const kernels::WeightParts<kernels::Buffer>>(std::move(parts));
  return weight;
}

DeviceWeight DeviceWeight::rows(std::int64_t first, std::int64_t count) const {
  GLM_CHECK(experts_ == 1 && layout_.stacks() && first >= 0 && count >= 0);
  GLM_CHECK(first + count <= layout_.rows && first % layout_.row_block == 0);
  DeviceWeight part = *this;
  part.layout_.rows = count;
  part.first_row_ += first;
  return part;
}

// Where the rows begin in each part.
std::size_t DeviceWeight::first_byte(WeightPart part) const {
  kernels::WeightLayout before = layout_;
  before.rows = first_row_;
  return first_row_ == 0 ? 0 : static_cast<std::size_t>(before.bytes(part));
}

kernels::WeightParts<const void*> DeviceWeight::addresses() const {
  kernels::WeightParts<const void*> all = {};
  for (std::size_t i = 0; parts_ && i < kernels::kWeightParts; ++i) {
    const auto* first = static_cast<const std::byte*>((*parts_)[i].data());
    if (first != nullptr) all[i] = first + first_byte(kernels::kAllWeightParts[i]);
  }
  return all;
}

kernels::WeightView DeviceWeight::view() const {
  GLM_CHECK(experts_ == 1);
  return kernels::view_of(layout_, addresses());
}

kernels::ExpertsView DeviceWeight::experts() const {
  return {.layout = layout_, .experts = experts_, .parts = addresses()};
}

std::uint64_t DeviceWeight::size_bytes() const {
  std::uint64_t sum = 0;
  if (!parts_) return sum;
  for (const kernels::Buffer& part : *parts_) sum += part.size_bytes();
  return sum;
}

kernels::WeightParts<std::span<std::byte>> DeviceWeight::parts(std::int64_t expert) const {
  GLM_CHECK(expert >= 0 && expert < experts_);
  kernels::WeightParts<std::span<std::byte>> own;
  for (std::size_t i = 0; parts_ && i < kernels::kWeightParts; ++i) {
    const auto size = static_cast<std::size_t>(layout_.bytes(kernels::kAllWeightParts[i]));
    auto* first = static_cast<std::byte*>((*parts_)[i].data());
    const std::size_t skipped =
        first_byte(kernels::kAllWeightParts[i]) + static_cast<std::size_t>(expert) * size;
    if (size > 0) own[i] = {first + skipped, size};
  }
  return own;
}

}  // namespace glm::runner
