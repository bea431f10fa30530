#include "cmd/cli/standard_input.h"

#include <unistd.h>

#include <array>
#include <cerrno>

#include "base/errno_error.h"

namespace glm {

Result<std::string> read_standard_input(std::size_t size_max_bytes) {
  std::string text;
  std::array<char, 64 << 10> buffer;
  while (true) {
    const ssize_t got = ::read(STDIN_FILENO, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EBADF) return text;  // closed: nothing is piped in
    if (got < 0) return errno_error("read", "standard input", errno);
    if (got == 0) return text;
    text.append(buffer.data(), static_cast<std::size_t>(got));
    if (text.size() > size_max_bytes) {
      return make_error(Errc::exhausted, "standard input has more than {} bytes", size_max_bytes);
    }
  }
}

}  // namespace glm
