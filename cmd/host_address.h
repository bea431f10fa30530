// Where the daemon is, as people write it: "127.0.0.1:11435", "localhost", ":8080", "[::1]:80",
// "http://gpu-box:11435/".
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace glm {

inline constexpr int kDefaultPort = 11435;

struct HostAddress {
  bool tls = false;
  std::string host = "127.0.0.1";  // without brackets
  int port = kDefaultPort;

  // Errc::invalid_argument: "'x:y' is no address; …".
  static Result<HostAddress> parse(std::string_view text);

  std::string str() const;        // "127.0.0.1:11435", "[::1]:80", "https://box:443"
  std::string authority() const;  // without the scheme: what a Host header says
  bool is_loopback() const;       // this machine, whatever its network
  bool is_wildcard() const;       // 0.0.0.0 or [::]: all networks of this machine
};

// --host if given, else $GLM_HOST, else the default.
Result<HostAddress> daemon_address(std::string_view flag);

// The same for who asks the daemon. Errc::unsupported for all networks of a machine, which is for
// listening alone, and where no daemon listens.
Result<HostAddress> peer_address(std::string_view flag);

// The same for the daemon itself. Errc::unsupported for what is not loopback.
Result<HostAddress> listen_address(std::string_view flag);

}  // namespace glm
