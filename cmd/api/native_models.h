// The native endpoints that manage models, and the daemon's own.
#pragma once

#include "cmd/api/reply.h"

namespace glm {
struct Services;
}

namespace glm::api {

Result<Reply> tags(Services& services, const Json& body, const Client& client);
Result<Reply> catalog(Services& services, const Json& body, const Client& client);
Result<Reply> show(Services& services, const Json& body, const Client& client);
Result<Reply> ps(Services& services, const Json& body, const Client& client);
Result<Reply> copy(Services& services, const Json& body, const Client& client);
Result<Reply> remove(Services& services, const Json& body, const Client& client);
Result<Reply> pull(Services& services, const Json& body, const Client& client);

Result<Reply> version(Services& services, const Json& body, const Client& client);
Result<Reply> health(Services& services, const Json& body, const Client& client);
Result<Reply> ready(Services& services, const Json& body, const Client& client);
Result<Reply> metrics(Services& services, const Json& body, const Client& client);
Result<Reply> greeting(Services& services, const Json& body, const Client& client);
Result<Reply> shutdown(Services& services, const Json& body, const Client& client);

}  // namespace glm::api
