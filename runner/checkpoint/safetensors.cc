#include "runner/checkpoint/safetensors.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/check.h"
#include "base/errno_error.h"

namespace glm::runner {
namespace {

Status read_fully(int fd, std::uint64_t offset, std::span<std::byte> target,
                  const std::string& name) {
  std::size_t done = 0;
  while (done < target.size()) {
    const ssize_t got =
        ::pread(fd, target.data() + done, target.size() - done, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno_error("read", name, errno);
    if (got == 0) {
      return make_error(Errc::corrupt, "{}: ends at byte {}, wanted {} more", name, offset + done,
                        target.size() - done);
    }
    done += static_cast<std::size_t>(got);
  }
  return Ok{};
}

}  // namespace

Result<SafetensorsFile> SafetensorsFile::from_header(std::string name, std::string_view header,
                                                     std::uint64_t file_bytes) {
  SafetensorsFile file;
  file.name_ = std::move(name);
  file.tensors_ = GLM_TRY(parse_safetensors_header(header, file_bytes).with(file.name_));
  return file;
}

Result<SafetensorsFile> SafetensorsFile::open(const std::filesystem::path& path, std::string name) {
  SafetensorsFile file;
  file.name_ = std::move(name);
  file.fd_ = Fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.fd_) return errno_error("open", path, errno);
  struct stat status = {};
  if (::fstat(file.fd_.get(), &status) != 0) return errno_error("stat", path, errno);
  if (!S_ISREG(status.st_mode)) {
    return make_error(Errc::corrupt, "{}: not a regular file", file.name_);
  }
  const auto file_bytes = static_cast<std::uint64_t>(status.st_size);
  std::array<std::byte, kSafetensorsPrefixBytes> prefix = {};
  const auto prefix_bytes = static_cast<std::size_t>(std::min<std::uint64_t>(file_bytes, 8));
  GLM_TRY(read_fully(file.fd_.get(), 0, std::span(prefix).first(prefix_bytes), file.name_));
  const std::uint64_t header_bytes = GLM_TRY(
      safetensors_header_bytes(std::span(prefix).first(prefix_bytes), file_bytes).with(file.name_));
  std::string header(header_bytes, '\0');
  GLM_TRY(read_fully(file.fd_.get(), 8, std::as_writable_bytes(std::span(header)), file.name_));
  file.tensors_ = GLM_TRY(parse_safetensors_header(header, file_bytes).with(file.name_));
  return file;
}

Status SafetensorsFile::read(const TensorInfo& tensor, std::uint64_t first_byte,
                             std::span<std::byte> target) const {
  GLM_CHECK(first_byte <= tensor.size_bytes && target.size() <= tensor.size_bytes - first_byte);
  if (!fd_) {
    return make_error(Errc::unsupported,
                      "tensor '{}': {}: only the header was fetched, not the data; pull the model",
                      tensor.name, name_);
  }
  return read_fully(fd_.get(), tensor.offset + first_byte, target, name_)
      .with("tensor '" + tensor.name + "'");
}

}  // namespace glm::runner
