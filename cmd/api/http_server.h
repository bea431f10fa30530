// The HTTP side: accepts connections, guards, bounds and parses bodies, dispatches to the routes,
// turns Errors into answers. The only thing handlers know of HTTP is Reply.
//
// Thread safety: run() blocks its thread; stop() may be called from any thread.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"

namespace glm {
struct Services;
}

namespace glm::api {

inline constexpr std::size_t kBodySizeMax = 32u << 20;

struct Address {
  std::string host;  // "127.0.0.1", "::1"
  int port = 0;      // 0: any free one
};

// "127.0.0.1:11435", "localhost", ":8080", "http://127.0.0.1:11435/". Errc::unsupported for an
// address that is not loopback.
Result<Address> parse_address(std::string_view text);

class HttpServer {
 public:
  explicit HttpServer(Services& services);
  ~HttpServer();

  // Errc::already_exists when the port is taken. Returns the port.
  Result<int> bind(const Address& address);

  // Serves until stop(); then waits for requests that are being answered.
  void run();
  void stop();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace glm::api
