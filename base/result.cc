#include "base/result.h"

namespace glm {

std::string_view name(Errc code) {
  switch (code) {
    case Errc::invalid_argument: return "invalid_argument";
    case Errc::not_found: return "not_found";
    case Errc::already_exists: return "already_exists";
    case Errc::corrupt: return "corrupt";
    case Errc::unsupported: return "unsupported";
    case Errc::permission: return "permission";
    case Errc::exhausted: return "exhausted";
    case Errc::unavailable: return "unavailable";
    case Errc::context_length_exceeded: return "context_length_exceeded";
    case Errc::cancelled: return "cancelled";
    case Errc::device: return "device";
    case Errc::internal: return "internal";
  }
  return "internal";
}

}  // namespace glm
