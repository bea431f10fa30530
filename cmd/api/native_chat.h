// POST /api/chat {"model", "messages", "tools", "think", "stream", "options", "keep_alive"} and
// POST /api/generate {"model", "prompt", "system", "raw", …}.
#pragma once

#include "cmd/api/reply.h"

namespace glm {
struct Services;
}

namespace glm::api {

Result<Reply> native_chat(Services& services, const Json& body, const Client& client);
Result<Reply> native_generate(Services& services, const Json& body, const Client& client);

}  // namespace glm::api
