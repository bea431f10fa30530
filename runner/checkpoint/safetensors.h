// One safetensors file: the header, checked, and its tensors, read by position.
//
// Everything in the file is hostile until proven otherwise: no size from the header is used before
// it agreed with the size of the file, the tensors tile the data area exactly, and reads go through
// pread, so that a file that shrinks meanwhile is an error and not a signal.
//
// Thread safety: const members may be called from any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "kernels/dtype.h"

namespace glm::runner {

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

class SafetensorsFile {
 public:
  // `name` is what messages call the file.
  static Result<SafetensorsFile> open(const std::filesystem::path& path, std::string name);

  // A file of which only the header (the JSON alone) is here: all but read() works.
  static Result<SafetensorsFile> from_header(std::string name, std::string_view header,
                                             std::uint64_t file_bytes);

  const std::string& name() const { return name_; }
  const std::vector<TensorInfo>& tensors() const { return tensors_; }

  // Part of a tensor: `target` fills from `first_byte` on and must not reach past its end.
  // Errc::unsupported: only the header is here.
  Status read(const TensorInfo& tensor, std::uint64_t first_byte,
              std::span<std::byte> target) const;

 private:
  SafetensorsFile() = default;

  std::string name_;
  Fd fd_;  // empty: only the header is here
  std::vector<TensorInfo> tensors_;
};

}  // namespace glm::runner
