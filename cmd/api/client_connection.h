// Knows whether the client of a request is still there. The HTTP library keeps the socket to
// itself, so it is found among the process's descriptors by its peer's address.
#pragma once

#include <string>

#include "base/fd.h"
#include "cmd/api/reply.h"

namespace glm::api {

class ClientConnection final : public Client {
 public:
  ClientConnection(const std::string& remote_address, int remote_port);
  bool gone() const override;

 private:
  Fd socket_;  // a duplicate; empty when not found, then the client counts as present
};

}  // namespace glm::api
