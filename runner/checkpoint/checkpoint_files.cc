#include "runner/checkpoint/checkpoint_files.h"

#include <fstream>
#include <system_error>

#include "base/errno_error.h"

namespace glm::runner {

namespace fs = std::filesystem;

Result<CheckpointFiles> files_in(const fs::path& folder) {
  std::error_code error;
  fs::recursive_directory_iterator entry(folder, error);
  if (error) return errno_error("open folder", folder, error.value());
  CheckpointFiles files;
  for (const fs::recursive_directory_iterator end; entry != end; entry.increment(error)) {
    if (error) return errno_error("list folder", folder, error.value());
    if (entry->path().filename().string().front() == '.') {
      entry.disable_recursion_pending();
      continue;
    }
    if (entry.depth() > 0) entry.disable_recursion_pending();
    if (!entry->is_regular_file(error)) continue;
    files[entry->path().lexically_relative(folder).generic_string()] = entry->path();
  }
  if (error) return errno_error("list folder", folder, error.value());
  if (files.empty()) return make_error(Errc::not_found, "{}: the folder is empty", folder.string());
  return files;
}

Result<std::string> read_small_file(const CheckpointFiles& files, std::string_view name,
                                    std::uint64_t size_max_bytes) {
  const auto found = files.find(std::string(name));
  if (found == files.end()) return make_error(Errc::not_found, "the checkpoint has no {}", name);
  std::error_code error;
  const std::uintmax_t size_bytes = fs::file_size(found->second, error);
  if (error) return errno_error("open", found->second, error.value());
  if (size_bytes > size_max_bytes) {
    return make_error(Errc::corrupt, "{} has {} bytes, more than the {} such a file may have", name,
                      size_bytes, size_max_bytes);
  }
  std::ifstream stream(found->second, std::ios::binary);
  std::string text(size_bytes, '\0');
  stream.read(text.data(), static_cast<std::streamsize>(size_bytes));
  if (!stream) {
    return make_error(Errc::corrupt, "read {}: got {} of {} bytes", name, stream.gcount(),
                      size_bytes);
  }
  return text;
}

}  // namespace glm::runner
