// What a remote reader would have of a weight file: prefix and header, never the data.
#pragma once

#include <filesystem>
#include <fstream>
#include <string>

#include "runner/checkpoint/checkpoint.h"

namespace glm::fakes {

inline runner::ShardHeader shard_header(const std::filesystem::path& path) {
  runner::ShardHeader shard{.name = path.filename().string(),
                            .header = {},
                            .file_bytes = std::filesystem::file_size(path)};
  std::ifstream stream(path, std::ios::binary);
  char prefix[runner::kSafetensorsPrefixBytes] = {};
  stream.read(prefix, sizeof(prefix));
  const auto size =
      runner::safetensors_header_bytes(std::as_bytes(std::span(prefix)), shard.file_bytes);
  if (!size.ok()) return shard;
  shard.header.resize(*size);
  stream.read(shard.header.data(), static_cast<std::streamsize>(*size));
  return shard;
}

}  // namespace glm::fakes
