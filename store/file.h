// The few file operations that durability is made of.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

#include "base/fd.h"
#include "base/result.h"

namespace glm::store {

// All of it, from the descriptor's position. Errc::exhausted when the disk is full.
Status write_all(int fd, std::span<const std::byte> bytes, const std::filesystem::path& path);

Status sync_file(int fd, const std::filesystem::path& path);

// Makes renames and creations in a folder survive power loss.
Status sync_folder(const std::filesystem::path& folder);

}  // namespace glm::store
