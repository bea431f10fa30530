// POST /v1/chat/completions, GET /v1/models: the OpenAI dialect, and what its endpoints share.
#pragma once

#include "cmd/api/reply.h"

namespace glm {
struct Services;
}

namespace glm::api {

struct Question;

Result<Reply> openai_chat(Services& services, const Json& body, const Client& client);
// The sampling fields of a body, by the names of modelfiles/parameters.h.
Result<Json> openai_options(const Json& body);

// The field `n`: how many answers are wanted.
Result<std::size_t> openai_answers(const Json& body);

// ignore_eos and min_tokens, vLLM's.
Status read_ends(const Json& body, Question& question);

// stream_options.include_usage.
Result<bool> openai_wants_usage(const Json& body);

Result<Reply> openai_models(Services& services, const Json& body, const Client& client);
Result<Reply> openai_model(Services& services, const Json& body, const Client& client);

}  // namespace glm::api
