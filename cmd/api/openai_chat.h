// POST /v1/chat/completions, GET /v1/models: the OpenAI dialect.
#pragma once

#include "cmd/api/reply.h"

namespace glm {
struct Services;
}

namespace glm::api {

Result<Reply> openai_chat(Services& services, const Json& body, const Client& client);
Result<Reply> openai_models(Services& services, const Json& body, const Client& client);
Result<Reply> openai_model(Services& services, const Json& body, const Client& client);

}  // namespace glm::api
