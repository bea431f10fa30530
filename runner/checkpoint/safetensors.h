// One safetensors file: the header, checked, and its tensors, read by position.
//
// Reads go through pread, so that a file that shrinks meanwhile is an error and not a signal.
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
#include "runner/checkpoint/safetensors_header.h"

namespace glm::runner {

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
  // Errc::unsupported: only the header is here. Errc::corrupt: the file ends before.
  Status read(const TensorInfo& tensor, std::uint64_t first_byte,
              std::span<std::byte> target) const;

 private:
  SafetensorsFile() = default;

  std::string name_;
  Fd fd_;  // empty: only the header is here
  std::vector<TensorInfo> tensors_;
};

}  // namespace glm::runner
