// The header of a safetensors file: eight bytes of length, JSON, and what it says of the tensors.
//
// Everything in it is hostile until proven otherwise: no size is used before it agreed with the
// size of the file, the tensors tile the data area exactly, and what is kept of a header is bounded
// by its own length and by the limits below, not by what it claims.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "kernels/dtype.h"

namespace glm::runner {

// Of one file, and of all files of a checkpoint together. The largest GLM has a quarter of it.
inline constexpr std::size_t kTensorsMax = 1'000'000;

// Empty, longer than 512 bytes or with control characters in it: no name of a tensor.
bool plausible_tensor_name(std::string_view name);

struct TensorInfo {
  std::string name;
  kernels::Dtype dtype = kernels::Dtype::f32;
  std::vector<std::int64_t> shape;
  std::uint64_t offset = 0;  // from the start of the file
  std::uint64_t size_bytes = 0;

  std::int64_t elements() const;
};

// "bf16 [2048, 768]", for messages.
std::string describe(kernels::Dtype dtype, std::span<const std::int64_t> shape);
inline std::string describe(const TensorInfo& tensor) {
  return describe(tensor.dtype, tensor.shape);
}

// A safetensors file begins with the length of its header in eight bytes.
inline constexpr std::size_t kSafetensorsPrefixBytes = 8;

// What the first eight bytes say: how many bytes of header follow them. `prefix` is what the file
// begins with, eight bytes unless the file has fewer. Errc::corrupt: more than the format allows,
// or more than the file holds; so whoever asks for the header afterwards asks for a bounded number
// of bytes that exist.
Result<std::uint64_t> safetensors_header_bytes(std::span<const std::byte> prefix,
                                               std::uint64_t file_bytes);

// Checks a header of a file of `file_bytes` bytes; `header` is the JSON alone. Tensors come back in
// the order of their offsets. Errc::corrupt says what is wrong; Errc::unsupported names a dtype
// that is legal and unknown here.
Result<std::vector<TensorInfo>> parse_safetensors_header(std::string_view header,
                                                         std::uint64_t file_bytes);

}  // namespace glm::runner
