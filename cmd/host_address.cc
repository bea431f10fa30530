#include "cmd/host_address.h"

#include <charconv>

#include "base/paths.h"

namespace glm {
namespace {

Error no_address(std::string_view text) {
  return make_error(Errc::invalid_argument,
                    "'{}' is no address of a daemon; write host:port such as 127.0.0.1:{}", text,
                    kDefaultPort);
}

bool is_host_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
         c == '-' || c == '_' || c == ':';
}

}  // namespace

Result<HostAddress> HostAddress::parse(std::string_view text) {
  HostAddress address;
  std::string_view rest = text;
  if (rest.starts_with("https://")) {
    address.tls = true;
    address.port = 443;
    rest.remove_prefix(8);
  } else if (rest.starts_with("http://")) {
    rest.remove_prefix(7);
  }
  if (rest.ends_with('/')) rest.remove_suffix(1);
  std::string_view host = rest, port;
  if (rest.starts_with('[')) {
    const std::size_t close = rest.find(']');
    if (close == std::string_view::npos) return no_address(text);
    host = rest.substr(1, close - 1);
    rest.remove_prefix(close + 1);
    if (host.empty() || (!rest.empty() && rest[0] != ':')) return no_address(text);
    port = rest.empty() ? rest : rest.substr(1);
    if (rest == ":") return no_address(text);
  } else if (const std::size_t colon = rest.find(':'); colon != std::string_view::npos) {
    if (rest.find(':', colon + 1) != std::string_view::npos) {
      port = {};  // an IPv6 address without brackets has no port
    } else {
      host = rest.substr(0, colon);
      port = rest.substr(colon + 1);
      if (port.empty()) return no_address(text);
    }
  }
  for (const char c : host) {
    if (!is_host_character(c)) return no_address(text);
  }
  if (!host.empty()) address.host = host;
  if (!port.empty()) {
    const char* const end = port.data() + port.size();
    const auto [stop, failure] = std::from_chars(port.data(), end, address.port);
    if (failure != std::errc() || stop != end || address.port < 1 || address.port > 65535) {
      return no_address(text);
    }
  }
  return address;
}

std::string HostAddress::authority() const {
  const bool v6 = host.find(':') != std::string::npos;
  return v6 ? fmt::format("[{}]:{}", host, port) : fmt::format("{}:{}", host, port);
}

std::string HostAddress::str() const {
  return tls ? "https://" + authority() : authority();
}

bool HostAddress::is_loopback() const {
  return host == "localhost" || host == "::1" ||
         (host.starts_with("127.") && host.find_first_not_of("0123456789.") == std::string::npos);
}

bool HostAddress::is_wildcard() const {
  return host == "0.0.0.0" || host == "::";
}

Result<HostAddress> daemon_address(std::string_view flag) {
  if (!flag.empty()) return HostAddress::parse(flag).with("--host");
  const std::string variable = env_or_empty("GLM_HOST");
  if (!variable.empty()) return HostAddress::parse(variable).with("GLM_HOST");
  return HostAddress{};
}

Result<HostAddress> peer_address(std::string_view flag) {
  HostAddress address = GLM_TRY(daemon_address(flag));
  if (address.is_wildcard()) {
    return make_error(Errc::unsupported,
                      "no daemon can listen at {0}: it has no API keys and serves this machine "
                      "only; use 127.0.0.1:{1} (GLM_HOST=127.0.0.1:{1})",
                      address.str(), address.port);
  }
  return address;
}

Result<HostAddress> listen_address(std::string_view flag) {
  HostAddress address = GLM_TRY(daemon_address(flag));
  if (address.host == "localhost") address.host = "127.0.0.1";
  if (address.tls) {
    return make_error(Errc::unsupported,
                      "{}: the daemon speaks no TLS; it listens at an address such as 127.0.0.1:{}",
                      address.str(), kDefaultPort);
  }
  if (!address.is_loopback()) {
    return make_error(Errc::unsupported,
                      "{0} is not of this machine alone: without API keys the daemon listens on "
                      "loopback only, such as 127.0.0.1:{1} (GLM_HOST=127.0.0.1:{1})",
                      address.str(), address.port);
  }
  return address;
}

}  // namespace glm
