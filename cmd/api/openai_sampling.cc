#include "cmd/api/openai_sampling.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <utility>

#include "cmd/api/json_body.h"
#include "kernels/ops/sample.h"

namespace glm::api {
namespace {

// A request's own biases; what is left of a step's is for its stop ids.
constexpr std::size_t kBiasesMax = runner::kTokenBiasesMax - runner::kStopIdsMax;

constexpr std::int64_t kPriorityMax = 1'000'000;

Result<runner::TokenBias> read_bias(const std::string& id, const Json& value) {
  runner::TokenBias bias;
  const auto [end, code] = std::from_chars(id.data(), id.data() + id.size(), bias.id);
  if (code != std::errc() || end != id.data() + id.size() || bias.id < 0) {
    return make_error(Errc::invalid_argument, "field 'logit_bias' wants ids of tokens, got \"{}\"",
                      id);
  }
  const double number = value.is_number() ? value.get<double>() : HUGE_VAL;
  if (!(number >= -100 && number <= 100)) {
    return make_error(Errc::invalid_argument,
                      "field 'logit_bias' wants numbers from -100 to 100, got {} for \"{}\"",
                      value.dump(), id);
  }
  bias.bias = static_cast<float>(number);
  return bias;
}

Result<std::vector<runner::TokenBias>> read_biases(const Json& body) {
  std::vector<runner::TokenBias> biases;
  const Json* map = find(body, "logit_bias");
  if (map == nullptr) return biases;
  if (!map->is_object()) {
    return make_error(Errc::invalid_argument, "field 'logit_bias' wants an object, got {}",
                      kind(*map));
  }
  if (map->size() > kBiasesMax) {
    return make_error(Errc::invalid_argument, "field 'logit_bias' has {} entries, at most {} count",
                      map->size(), kBiasesMax);
  }
  for (const auto& [id, value] : map->items()) {
    const runner::TokenBias bias = GLM_TRY(read_bias(id, value));
    // "7" and "07" are one token; the later one counts.
    std::erase_if(biases, [&](const runner::TokenBias& other) { return other.id == bias.id; });
    biases.push_back(bias);
  }
  return biases;
}

Result<std::int32_t> read_logprobs(const Json& body) {
  const bool wanted = GLM_TRY(boolean(body, "logprobs")).value_or(false);
  const std::optional<std::int64_t> top = GLM_TRY(integer(body, "top_logprobs"));
  if (top && (*top < 0 || *top > kernels::kLogprobsMax)) {
    return make_error(Errc::invalid_argument, "field 'top_logprobs' wants 0 to {}, got {}",
                      kernels::kLogprobsMax, *top);
  }
  if (top.value_or(0) > 0 && !wanted) {
    return make_error(Errc::invalid_argument, "field 'top_logprobs' wants 'logprobs': true");
  }
  return wanted ? static_cast<std::int32_t>(top.value_or(0)) : -1;
}

Json token_json(const runner::Tokenizer& tokenizer, std::int32_t id, float logprob) {
  const std::string text = tokenizer.decode({&id, 1});
  Json bytes;
  if (text.find("\xEF\xBF\xBD") == std::string::npos) {
    bytes = Json::array();
    for (const char byte : text) bytes.push_back(static_cast<unsigned char>(byte));
  }
  // JSON has no infinity; -9999 is what others say.
  return {{"token", text}, {"logprob", std::max(logprob, -9999.0F)}, {"bytes", std::move(bytes)}};
}

// What would bind the answer to a form.
Status refuse_forms(const Json& body) {
  GLM_TRY(refuse_fields(body, {"guided_json", "guided_regex", "guided_choice", "guided_grammar",
                               "structured_outputs"}));
  const Json* format = find(body, "response_format");
  if (format == nullptr) return Ok{};
  if (!format->is_object()) {
    return make_error(Errc::invalid_argument, "field 'response_format' wants an object, got {}",
                      kind(*format));
  }
  const std::optional<std::string> type = GLM_TRY(text(*format, "type").with("response_format"));
  if (!type) {
    return make_error(Errc::invalid_argument,
                      "field 'response_format.type' is missing; only \"text\" is supported");
  }
  if (*type == "text") return Ok{};
  return make_error(Errc::unsupported, "response_format {} is not supported; only text is",
                    dump(*format));
}

}  // namespace

Status read_sampling(const Json& body, Question& question) {
  GLM_TRY(refuse_forms(body));
  // An answer without them would be another than was asked for.
  GLM_TRY(refuse_set_fields(body, {"stop_token_ids", "allowed_token_ids", "bad_words",
                                   "truncate_prompt_tokens", "prompt_logprobs"}));
  question.logit_bias = GLM_TRY(read_biases(body));
  question.logprobs = GLM_TRY(read_logprobs(body));
  question.ignore_eos = GLM_TRY(boolean(body, "ignore_eos")).value_or(false);
  question.tokens_min = GLM_TRY(integer(body, "min_tokens")).value_or(0);
  if (question.tokens_min < 0) {
    return make_error(Errc::invalid_argument, "field 'min_tokens' wants 0 or more, got {}",
                      question.tokens_min);
  }
  const std::int64_t priority = GLM_TRY(integer(body, "priority")).value_or(0);
  if (priority < -kPriorityMax || priority > kPriorityMax) {
    return make_error(Errc::invalid_argument,
                      "field 'priority' wants a number from -{} to {}, got {}", kPriorityMax,
                      kPriorityMax, priority);
  }
  question.priority = static_cast<std::int32_t>(priority);
  return Ok{};
}

Json logprobs_json(const runner::Tokenizer& tokenizer,
                   const std::vector<daemon::TokenLogprobs>& tokens) {
  Json content = Json::array();
  for (const daemon::TokenLogprobs& token : tokens) {
    Json json = token_json(tokenizer, token.id, token.logprobs.chosen);
    json["top_logprobs"] = Json::array();
    for (const runner::TokenLogprob& other : token.logprobs.top) {
      json["top_logprobs"].push_back(token_json(tokenizer, other.id, other.logprob));
    }
    content.push_back(std::move(json));
  }
  return {{"content", std::move(content)}};
}

}  // namespace glm::api
