// Where the bytes of tensors come from when it is no file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "runner/checkpoint/safetensors_header.h"

namespace glm::runner {

// Thread safety: const members may be called from any thread.
class TensorSource {
 public:
  virtual ~TensorSource() = default;

  // The same ones as long as the source lives, each name once.
  virtual std::span<const TensorInfo> tensors() const = 0;

  // `tensor` is one of those. `target` fills from `first_byte` on and does not reach past its end.
  virtual Status read(const TensorInfo& tensor, std::uint64_t first_byte,
                      std::span<std::byte> target) const = 0;
};

}  // namespace glm::runner
