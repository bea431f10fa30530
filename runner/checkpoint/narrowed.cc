#include "runner/checkpoint/narrowed.h"

#include <cstdint>
#include <cstring>

namespace glm::runner {

using kernels::Dtype;
using kernels::WeightFormat;

kernels::WeightLayout narrowed(const kernels::WeightLayout& stored, Dtype activations) {
  kernels::WeightLayout layout = stored;
  if (activations == Dtype::bf16 && stored.format == WeightFormat::f16) {
    layout.format = WeightFormat::bf16;
  }
  return layout;
}

void narrow(std::span<std::byte> numbers) {
  for (std::size_t at = 0; at + sizeof(std::uint16_t) <= numbers.size();
       at += sizeof(std::uint16_t)) {
    std::uint16_t bits = 0;
    std::memcpy(&bits, numbers.data() + at, sizeof(bits));
    bits = kernels::f32_to_bf16(kernels::f16_to_f32(bits));
    std::memcpy(numbers.data() + at, &bits, sizeof(bits));
  }
}

}  // namespace glm::runner
