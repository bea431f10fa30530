// A request with several prompts is several generations, which run side by side; their pieces are
// sent one generation after the other, told apart by `index`.
#include "cmd/api/openai_completions.h"

#include <atomic>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "cmd/api/answer.h"
#include "cmd/api/json_body.h"
#include "cmd/api/openai_chat.h"
#include "cmd/api/openai_sampling.h"
#include "cmd/api/routes.h"

namespace glm::api {
namespace {

constexpr std::int64_t kTokensDefault = 16;  // OpenAI's

using Answers = std::vector<std::shared_ptr<Answer>>;

Error wrong_prompt(const Json& got) {
  return make_error(Errc::invalid_argument,
                    "field 'prompt' wants a text, a list of token ids, or a list of either, got {}",
                    kind(got));
}

Result<std::vector<std::int32_t>> token_ids(const Json& list) {
  std::vector<std::int32_t> ids;
  ids.reserve(list.size());
  for (const Json& item : list) {
    if (!item.is_number_integer()) {
      return make_error(Errc::invalid_argument, "token {} of a prompt is {}, an id is wanted",
                        ids.size(), kind(item));
    }
    const auto id = item.get<std::int64_t>();
    if (id < 0 || id > std::numeric_limits<std::int32_t>::max()) {
      return make_error(Errc::invalid_argument, "token {} of a prompt is {}, which is no id",
                        ids.size(), item.dump());
    }
    ids.push_back(static_cast<std::int32_t>(id));
  }
  return ids;
}

Result<RawPrompt> one_prompt(const Json& json) {
  RawPrompt prompt;
  if (json.is_string()) {
    prompt.text = json.get<std::string>();
  } else if (json.is_array()) {
    prompt.ids = GLM_TRY(token_ids(json));
  } else {
    return wrong_prompt(json);
  }
  if (prompt.text.empty() && prompt.ids.empty()) {
    return make_error(Errc::invalid_argument, "field 'prompt' is empty");
  }
  return prompt;
}

// What all prompts of a request have in common.
Result<Question> read_question(const Json& body) {
  Question question;
  question.model = GLM_TRY(required_text(body, "model"));
  question.options = GLM_TRY(openai_options(body));
  if (!question.options.contains("num_predict")) question.options["num_predict"] = kTokensDefault;
  GLM_TRY(refuse_set_fields(body, {"echo", "suffix"}));
  // 0 asks for those of the chosen tokens.
  if (const Json* logprobs = find(body, "logprobs"); logprobs != nullptr && *logprobs != false) {
    GLM_TRY(refuse_fields(body, {"logprobs"}));
  }
  GLM_TRY(read_sampling(body, question));
  question.special_tokens = GLM_TRY(boolean(body, "add_special_tokens")).value_or(true);
  question.keep_alive = GLM_TRY(keep_alive_field(body));
  question.answers = GLM_TRY(openai_answers(body));
  const std::int64_t best_of = GLM_TRY(integer(body, "best_of")).value_or(1);
  if (best_of != 1 && best_of != static_cast<std::int64_t>(question.answers)) {
    return make_error(Errc::unsupported, "best_of other than n is not supported");
  }
  return question;
}

Json heading(const Answer& answer, Clock& clock) {
  static std::atomic<std::uint64_t> next{1};
  const std::int64_t created = unix_seconds(clock.wall());
  return {{"id", fmt::format("cmpl-{:x}-{}", created, next.fetch_add(1))},
          {"object", "text_completion"},
          {"created", created},
          {"model", answer.model}};
}

Json choice(std::size_t index, const std::string& text, Json finish_reason) {
  return {{"index", index},
          {"text", text},
          {"logprobs", nullptr},
          {"finish_reason", std::move(finish_reason)}};
}

Json finish_reason(const daemon::Delta& delta) {
  return delta.done_reason.empty() ? Json(nullptr) : Json(delta.done_reason);
}

Json usage(const Answers& answers) {
  std::int64_t prompt_tokens = 0;
  std::int64_t cached_tokens = 0;
  std::int64_t tokens = 0;
  for (const auto& answer : answers) {
    prompt_tokens += answer->generation->stats().prompt_tokens;
    cached_tokens += answer->generation->stats().cached_tokens;
    tokens += answer->generation->stats().tokens;
  }
  return {{"prompt_tokens", prompt_tokens},
          {"completion_tokens", tokens},
          {"total_tokens", prompt_tokens + tokens},
          {"prompt_tokens_details", {{"cached_tokens", cached_tokens}}}};
}

struct Stream {
  Answers answers;
  Clock& clock;
  const Client& client;
  bool include_usage;

  void write(StreamWriter& writer) const;
};

// The last text and the reason for the end are one event, so that events can be counted as steps.
void Stream::write(StreamWriter& writer) const {
  const auto event = [&](const Json& json) { return writer.write("data: " + dump(json) + "\n\n"); };
  Json json = heading(*answers.front(), clock);
  json["choices"] = Json::array({choice(0, "", nullptr)});
  for (std::size_t index = 0; index < answers.size(); ++index) {
    const std::size_t first = index * answers[index]->generation->answers();
    const Status done = for_each_delta(*answers[index], client, [&](const daemon::Delta& delta) {
      Json& one = json["choices"].front();  // of an event per token only this is new
      one["index"] = first + delta.answer;
      one["text"] = delta.content;
      one["finish_reason"] = finish_reason(delta);
      return event(json);
    });
    if (!done.ok()) return (void)event(error_body(Dialect::openai, done.error()));
  }
  if (include_usage) {
    json["choices"] = Json::array();
    json["usage"] = usage(answers);
    if (!event(json)) return;
  }
  (void)writer.write("data: [DONE]\n\n");
}

Result<Reply> whole(const Answers& answers, Clock& clock, const Client& client) {
  Json json = heading(*answers.front(), clock);
  json["choices"] = Json::array();
  for (const auto& answer : answers) {
    std::vector<daemon::Delta> all(answer->generation->answers());
    GLM_TRY(for_each_delta(*answer, client, [&](const daemon::Delta& delta) {
      all[delta.answer].append(delta);
      return true;
    }));
    for (const daemon::Delta& one : all) {
      json["choices"].push_back(choice(json["choices"].size(), one.content, finish_reason(one)));
    }
  }
  json["usage"] = usage(answers);
  return json_reply(json);
}

}  // namespace

Result<std::vector<RawPrompt>> prompt_field(const Json& body) {
  const Json* json = find(body, "prompt");
  if (json == nullptr) return make_error(Errc::invalid_argument, "prompt is required");
  std::vector<RawPrompt> prompts;
  const bool several = json->is_array() && !json->empty() && !json->front().is_number();
  if (!several) {
    prompts.push_back(GLM_TRY(one_prompt(*json)));
    return prompts;
  }
  if (json->size() > kPromptsMax) {
    return make_error(Errc::invalid_argument, "field 'prompt' has {} prompts, at most {} are taken",
                      json->size(), kPromptsMax);
  }
  for (const Json& item : *json) prompts.push_back(GLM_TRY(one_prompt(item)));
  return prompts;
}

Result<Reply> openai_completions(Services& services, const Json& body, const Client& client) {
  Question question = GLM_TRY(read_question(body));
  std::vector<RawPrompt> prompts = GLM_TRY(prompt_field(body));
  const bool streaming = GLM_TRY(boolean(body, "stream")).value_or(false);
  const bool include_usage = GLM_TRY(openai_wants_usage(body));
  question.every_step = streaming;
  Answers answers;
  for (RawPrompt& prompt : prompts) {
    question.raw_prompt = std::move(prompt.text);
    question.prompt_ids = std::move(prompt.ids);
    answers.push_back(GLM_TRY(submit(services, question, client)));
  }
  GLM_TRY(wait_for_first(*answers.front(), client));
  if (!streaming) return whole(answers, services.clock, client);
  Reply out;
  out.content_type = "text/event-stream";
  out.stream = [stream = Stream{std::move(answers), services.clock, client, include_usage}](
                   StreamWriter& writer) { stream.write(writer); };
  return out;
}

}  // namespace glm::api
