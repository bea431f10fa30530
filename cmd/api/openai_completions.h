// POST /v1/completions: text or token ids go on as they are, without a chat template, in OpenAI's
// shape with vLLM's extensions (ignore_eos, min_tokens, add_special_tokens and its sampling
// fields).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cmd/api/reply.h"

namespace glm {
struct Services;
}

namespace glm::api {

Result<Reply> openai_completions(Services& services, const Json& body, const Client& client);

// One of the prompts of a request: text, or ids where there are any.
struct RawPrompt {
  std::string text;
  std::vector<std::int32_t> ids;
};

inline constexpr std::size_t kPromptsMax = 128;

// The field `prompt`: a text, a list of token ids, or a list of at most kPromptsMax of either.
// Whether the ids exist is the runner's business.
Result<std::vector<RawPrompt>> prompt_field(const Json& body);

}  // namespace glm::api
