// Keeps web pages away from a user's daemon. It listens on loopback, but a browser on the same
// machine can be made to talk to it: by a page that posts across origins, or by a name that is
// rebound to 127.0.0.1. So the Host must name this machine, and an Origin, where there is one, too.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace glm::api {

// "localhost", "127.0.0.1:11435", "[::1]:11435", any port.
bool names_loopback(std::string_view authority);

// Errc::permission unless both headers are acceptable. An absent Host (HTTP/1.0) or Origin is; the
// empty string stands for absent.
Status check_origin(std::string_view host, std::string_view origin);

}  // namespace glm::api
