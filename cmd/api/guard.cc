#include "cmd/api/guard.h"

#include <algorithm>
#include <cctype>

namespace glm::api {
namespace {

bool digits_only(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](unsigned char c) { return std::isdigit(c); });
}

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

// "127.x.y.z" with four plain numbers; "127.0.0.1.example.org" is a name.
bool is_loopback_v4(std::string_view host) {
  if (!host.starts_with("127.")) return false;
  int parts = 0;
  while (true) {
    const std::size_t dot = host.find('.');
    const std::string_view part = host.substr(0, dot);
    if (part.empty() || part.size() > 3 || !digits_only(part)) return false;
    ++parts;
    if (dot == std::string_view::npos) break;
    host.remove_prefix(dot + 1);
  }
  return parts == 4;
}

}  // namespace

bool names_loopback(std::string_view authority) {
  std::string_view host = authority;
  std::string_view port;
  if (host.starts_with('[')) {
    const std::size_t close = host.find(']');
    if (close == std::string_view::npos) return false;
    port = host.substr(close + 1);
    host = host.substr(1, close - 1);
    if (host != "::1") return false;
  } else {
    const std::size_t colon = host.find(':');
    if (colon != std::string_view::npos) {
      port = host.substr(colon);
      host = host.substr(0, colon);
    }
    const std::string name = lower(host);
    if (name != "localhost" && name != "localhost." && !is_loopback_v4(name)) return false;
  }
  return port.empty() || (port.size() > 1 && port[0] == ':' && digits_only(port.substr(1)));
}

Status check_origin(std::string_view host, std::string_view origin) {
  if (!host.empty() && !names_loopback(host)) {
    return make_error(Errc::permission,
                      "the Host header names '{}', this daemon answers to localhost and 127.0.0.1 "
                      "only",
                      host);
  }
  if (origin.empty()) return Ok{};
  std::string_view authority = origin;
  for (std::string_view scheme : {"http://", "https://"}) {
    if (lower(origin.substr(0, scheme.size())) == scheme) {
      authority.remove_prefix(scheme.size());
      if (names_loopback(authority)) return Ok{};
    }
  }
  return make_error(Errc::permission,
                    "requests from web pages of '{}' are refused; pages served from localhost may "
                    "ask",
                    origin);
}

}  // namespace glm::api
