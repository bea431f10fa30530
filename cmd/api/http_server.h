// The HTTP side: accepts connections, guards, bounds and parses bodies, dispatches to the routes,
// turns Errors into answers. The only thing handlers know of HTTP is Reply.
//
// Thread safety: run() blocks its thread; stop() may be called from any thread.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "cmd/host_address.h"

namespace glm {
struct Services;
}

namespace glm::api {

// Connections at a time. Beyond both a client is answered 503 and asked to try again.
struct HttpLimits {
  std::size_t served_max = 1024;
  std::size_t waiting_max = 256;
};

class HttpServer {
 public:
  explicit HttpServer(Services& services, HttpLimits limits = {});
  ~HttpServer();

  // Errc::already_exists when the port is taken.
  Status bind(const HostAddress& address);

  // Serves until stop(), which may come before it; then waits for requests being answered. Returns
  // early when the system takes the listening socket away.
  void run();
  void stop();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace glm::api
