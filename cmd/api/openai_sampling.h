// What OpenAI's dialect says about the choice of tokens beyond the Modelfile's parameters: biases
// of logits and logprobs, and vLLM's min_tokens, ignore_eos and priority.
#pragma once

#include <vector>

#include "cmd/api/answer.h"

namespace glm::api {

// "logit_bias": {"1234": -100}, "logprobs": true, "top_logprobs": 3, "min_tokens": 5, "ignore_eos":
// true. Errc::invalid_argument with the field's name; Errc::unsupported for what would bind answers
// to a form.
Status read_sampling(const Json& body, Question& question);

// {"content": [{"token", "logprob", "bytes", "top_logprobs": [...]}]}; a token that is only part of
// a character has no bytes.
Json logprobs_json(const runner::Tokenizer& tokenizer,
                   const std::vector<daemon::TokenLogprobs>& tokens);

}  // namespace glm::api
