// The files of one checkpoint, wherever they lie: the store keeps blobs under their digests, a
// folder keeps them under their names. Readers ask by the path inside the repository.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>

#include "base/result.h"

namespace glm::runner {

// Repository path ("config.json", "model-00001-of-00004.safetensors") -> file on disk.
using CheckpointFiles = std::map<std::string, std::filesystem::path>;

// Every regular file in `folder` and in the folders directly in it, except what starts with a dot:
// no checkpoint is deeper. Errc::not_found if there is no such folder or nothing in it.
Result<CheckpointFiles> files_in(const std::filesystem::path& folder);

// The whole of one small file. Errc::not_found if the checkpoint has none of that name,
// Errc::corrupt if it is larger than `size_max_bytes`: configuration files are kilobytes.
Result<std::string> read_small_file(const CheckpointFiles& files, std::string_view name,
                                    std::uint64_t size_max_bytes);

}  // namespace glm::runner
