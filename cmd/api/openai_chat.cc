// POST /v1/chat/completions in OpenAI's shape, with vLLM's extensions (top_k, min_p,
// repetition_penalty, min_tokens, ignore_eos, chat_template_kwargs, reasoning_content) and ours
// (keep_alive, num_ctx).
#include "cmd/api/openai_chat.h"

#include <array>
#include <atomic>
#include <utility>

#include "base/rfc3339.h"
#include "cmd/api/answer.h"
#include "cmd/api/json_body.h"
#include "cmd/api/openai_sampling.h"
#include "cmd/api/routes.h"
#include "modelfiles/parameters.h"

namespace glm::api {
namespace {

constexpr std::int64_t kAnswersMax = 16;  // to one question

// Where a field of the request goes among the Modelfile's parameters.
struct OptionField {
  std::string_view field;
  std::string_view parameter;
};
constexpr std::array<OptionField, 11> kOptionFields = {{
    {"temperature", "temperature"},
    {"top_p", "top_p"},
    {"top_k", "top_k"},
    {"min_p", "min_p"},
    {"seed", "seed"},
    {"frequency_penalty", "frequency_penalty"},
    {"presence_penalty", "presence_penalty"},
    {"repetition_penalty", "repeat_penalty"},
    {"max_tokens", "num_predict"},
    {"max_completion_tokens", "num_predict"},
    {"num_ctx", "num_ctx"},
}};

Status check_stop(const Json& stop) {
  if (stop.is_string()) return Ok{};
  if (!stop.is_array()) {
    return make_error(Errc::invalid_argument,
                      "field 'stop' wants a string or a list of strings, got {}", kind(stop));
  }
  for (std::size_t i = 0; i < stop.size(); ++i) {
    if (stop[i].is_string()) continue;
    return make_error(Errc::invalid_argument, "field 'stop[{}]' wants a string, got {}", i,
                      kind(stop[i]));
  }
  return Ok{};
}

}  // namespace

Result<Json> openai_options(const Json& body) {
  Json options = Json::object();
  for (const OptionField& option : kOptionFields) {
    if (!GLM_TRY(number(body, option.field))) continue;
    const Json& value = *find(body, option.field);
    // Checked here under the name that the client wrote.
    OptionRow row = *modelfiles::parameter_table().find(option.parameter);
    row.name = option.field;
    GLM_TRY(OptionTable::check(row, *modelfiles::option_value(nlohmann::json(value))));
    if (option.parameter == "num_predict" && value == 0) {
      return make_error(Errc::invalid_argument, "{} wants 1 or more, or -1 for no bound, got 0",
                        option.field);
    }
    options[std::string(option.parameter)] = value;
  }
  if (const Json* stop = find(body, "stop")) {
    GLM_TRY(check_stop(*stop));
    options["stop"] = *stop;
  }
  return options;
}

Result<std::size_t> openai_answers(const Json& body) {
  const std::int64_t answers = GLM_TRY(integer(body, "n")).value_or(1);
  if (answers < 1 || answers > kAnswersMax) {
    return make_error(Errc::invalid_argument, "field 'n' wants a number from 1 to {}, got {}",
                      kAnswersMax, answers);
  }
  return static_cast<std::size_t>(answers);
}

Result<bool> openai_wants_usage(const Json& body) {
  const Json* options = find(body, "stream_options");
  if (options == nullptr) return false;
  if (!options->is_object()) {
    return make_error(Errc::invalid_argument, "field 'stream_options' wants an object, got {}",
                      kind(*options));
  }
  return GLM_TRY(boolean(*options, "include_usage").with("stream_options")).value_or(false);
}

namespace {

struct Heading {
  std::string id;
  std::int64_t created = 0;
  std::string model;
};

Heading make_heading(const Answer& answer, Clock& clock) {
  static std::atomic<std::uint64_t> next{1};
  const std::int64_t created = unix_seconds(clock.wall());
  return {fmt::format("chatcmpl-{:x}-{}", created, next.fetch_add(1)), created, answer.model};
}

Json envelope(const Heading& heading, std::string_view object) {
  return {{"id", heading.id},
          {"object", object},
          {"created", heading.created},
          {"model", heading.model}};
}

// Unique among all calls of all answers.
std::string call_id(const Heading& heading, std::size_t answer, std::int32_t index) {
  return answer == 0 ? fmt::format("call-{}-{}", heading.id, index)
                     : fmt::format("call-{}-{}-{}", heading.id, answer, index);
}

Json tool_calls_json(const Heading& heading, const daemon::Delta& answer) {
  Json list = Json::array();
  for (const daemon::ToolCall& call : answer.tool_calls) {
    list.push_back({{"id", call_id(heading, answer.answer, call.index)},
                    {"type", "function"},
                    {"function", {{"name", call.name}, {"arguments", call.arguments}}}});
  }
  return list;
}

// Of a stream: the id, the type and the name once, the arguments as they come.
Json tool_pieces_json(const Heading& heading, const daemon::Delta& delta) {
  Json list = Json::array();
  for (const daemon::ToolCallPiece& piece : delta.tool_pieces) {
    Json json = {{"index", piece.index}};
    Json function = Json::object();
    if (!piece.name.empty()) {
      json["id"] = call_id(heading, delta.answer, piece.index);
      json["type"] = "function";
      function["name"] = piece.name;
    }
    function["arguments"] = piece.arguments;
    json["function"] = std::move(function);
    list.push_back(std::move(json));
  }
  return list;
}

Json usage_json(const daemon::GenerationStats& stats) {
  return {{"prompt_tokens", stats.prompt_tokens},
          {"completion_tokens", stats.tokens},
          {"total_tokens", stats.prompt_tokens + stats.tokens},
          {"prompt_tokens_details", {{"cached_tokens", stats.cached_tokens}}}};
}

Json chunk(const Heading& heading, std::size_t answer, Json delta, Json finish_reason) {
  Json json = envelope(heading, "chat.completion.chunk");
  json["choices"] = Json::array({{{"index", answer},
                                  {"delta", std::move(delta)},
                                  {"finish_reason", std::move(finish_reason)}}});
  return json;
}

Json delta_json(const Heading& heading, const daemon::Delta& delta) {
  Json json = Json::object();
  if (!delta.thinking.empty()) json["reasoning_content"] = delta.thinking;
  if (!delta.content.empty()) json["content"] = delta.content;
  if (!delta.tool_pieces.empty()) {
    json["tool_calls"] = tool_pieces_json(heading, delta);
  }
  return json;
}

struct StreamOptions {
  bool include_usage = false;
};

void stream(Answer& answer, Clock& clock, const Client& client, const StreamOptions& options,
            StreamWriter& writer) {
  const auto event = [&](const Json& json) { return writer.write("data: " + dump(json) + "\n\n"); };
  const Heading heading = make_heading(answer, clock);
  for (std::size_t i = 0; i < answer.generation->answers(); ++i) {
    if (!event(chunk(heading, i, {{"role", "assistant"}, {"content", ""}}, nullptr))) return;
  }
  const Status done = for_each_delta(answer, client, [&](const daemon::Delta& delta) {
    Json json = delta_json(heading, delta);
    if ((!json.empty() || !delta.logprobs.empty())) {
      json = chunk(heading, delta.answer, std::move(json), nullptr);
      if (!delta.logprobs.empty()) {
        json["choices"][0]["logprobs"] =
            logprobs_json(answer.lease->text->tokenizer(), delta.logprobs);
      }
      if (!event(json)) return false;
    }
    return delta.done_reason.empty() ||
           event(chunk(heading, delta.answer, Json::object(), delta.done_reason));
  });
  if (!done.ok()) {
    (void)event(error_body(Dialect::openai, done.error()));
    return;
  }
  if (options.include_usage) {
    Json json = envelope(heading, "chat.completion.chunk");
    json["choices"] = Json::array();
    json["usage"] = usage_json(answer.generation->stats());
    if (!event(json)) return;
  }
  (void)writer.write("data: [DONE]\n\n");
}

Json choice(const Heading& heading, const daemon::Delta& answer,
            const runner::Tokenizer& tokenizer) {
  Json message = {{"role", "assistant"}, {"content", answer.content}};
  if (!answer.thinking.empty()) message["reasoning_content"] = answer.thinking;
  if (!answer.tool_calls.empty()) message["tool_calls"] = tool_calls_json(heading, answer);
  Json logprobs;
  if (!answer.logprobs.empty()) logprobs = logprobs_json(tokenizer, answer.logprobs);
  return {{"index", answer.answer},
          {"message", std::move(message)},
          {"logprobs", std::move(logprobs)},
          {"finish_reason", answer.done_reason}};
}

Result<Reply> whole(Answer& answer, Clock& clock, const Client& client) {
  std::vector<daemon::Delta> all(answer.generation->answers());
  for (std::size_t i = 0; i < all.size(); ++i) all[i].answer = i;
  GLM_TRY(for_each_delta(answer, client, [&](const daemon::Delta& delta) {
    all[delta.answer].append(delta);
    return true;
  }));
  const Heading heading = make_heading(answer, clock);
  const runner::Tokenizer& tokenizer = answer.lease->text->tokenizer();
  Json json = envelope(heading, "chat.completion");
  json["choices"] = Json::array();
  for (const daemon::Delta& one : all) json["choices"].push_back(choice(heading, one, tokenizer));
  json["usage"] = usage_json(answer.generation->stats());
  return json_reply(json);
}

// "auto" and "none" can be promised; forcing a call needs constrained decoding.
Status read_tools(const Json& body, Question& question) {
  if (const Json* tools = find(body, "tools")) question.tools = *tools;
  const Json* choice = find(body, "tool_choice");
  if (choice == nullptr || *choice == "auto") return Ok{};
  if (*choice == "none") {
    question.tools = nullptr;
    return Ok{};
  }
  return make_error(Errc::unsupported, "tool_choice {} is not supported; use \"auto\" or \"none\"",
                    choice->dump());
}

// "none" turns thinking off where that is possible; the others are a level where the model has
// some.
Status read_effort(const Json& body, Question& question) {
  std::optional<std::string> effort = GLM_TRY(text(body, "reasoning_effort"));
  if (const Json* reasoning = find(body, "reasoning"); reasoning != nullptr && !effort) {
    if (!reasoning->is_object()) {
      return make_error(Errc::invalid_argument, "field 'reasoning' wants an object, got {}",
                        kind(*reasoning));
    }
    effort = GLM_TRY(text(*reasoning, "effort").with("reasoning"));
  }
  if (!effort) return Ok{};
  for (const char* level : {"none", "minimal", "low", "medium", "high", "xhigh", "max"}) {
    if (*effort != level) continue;
    if (*effort == "none") {
      question.thinking.on = false;
    } else {
      question.thinking.level = *effort;
    }
    return Ok{};
  }
  return make_error(Errc::invalid_argument,
                    "field 'reasoning_effort' wants none, minimal, low, medium, high, xhigh or "
                    "max, got '{}'",
                    *effort);
}

Result<Question> read_question(const Json& body) {
  Question question;
  question.model = GLM_TRY(required_text(body, "model"));
  const Json* messages = find(body, "messages");
  if (messages == nullptr) {
    return make_error(Errc::invalid_argument, "messages is required");
  }
  question.messages = *messages;
  question.options = GLM_TRY(openai_options(body));
  question.template_extras = GLM_TRY(template_kwargs_field(body));
  GLM_TRY(read_effort(body, question));
  question.keep_alive = GLM_TRY(keep_alive_field(body));
  GLM_TRY(read_tools(body, question));
  GLM_TRY(read_sampling(body, question));
  GLM_TRY(refuse_fields(body, {"functions"}));
  GLM_TRY(refuse_set_fields(body, {"continue_final_message"}));
  if (!GLM_TRY(boolean(body, "add_generation_prompt")).value_or(true)) {
    GLM_TRY(refuse_fields(body, {"add_generation_prompt"}));
  }
  question.answers = GLM_TRY(openai_answers(body));
  return question;
}

}  // namespace

Result<Reply> openai_chat(Services& services, const Json& body, const Client& client) {
  const Question question = GLM_TRY(read_question(body));
  const bool streaming = GLM_TRY(boolean(body, "stream")).value_or(false);
  const StreamOptions options{.include_usage = GLM_TRY(openai_wants_usage(body))};
  const std::shared_ptr<Answer> answer = GLM_TRY(ask(services, question, client));
  if (!streaming) return whole(*answer, services.clock, client);
  Reply out;
  out.content_type = "text/event-stream";
  out.stream = [answer, options, &client, &clock = services.clock](StreamWriter& writer) {
    stream(*answer, clock, client, options, writer);
  };
  return out;
}

namespace {

Json model_json(const store::Manifest& manifest) {
  const auto pulled = parse_rfc3339(manifest.pulled_at);
  return {{"id", manifest.name},
          {"object", "model"},
          {"created", pulled ? unix_seconds(*pulled) : 0},
          {"owned_by", manifest.source.substr(0, manifest.source.find_first_of(":/"))}};
}

}  // namespace

Result<Reply> openai_models(Services& services, const Json&, const Client&) {
  Json data = Json::array();
  for (const store::Manifest& manifest : GLM_TRY(services.store.list())) {
    data.push_back(model_json(manifest));
  }
  return json_reply({{"object", "list"}, {"data", std::move(data)}});
}

Result<Reply> openai_model(Services& services, const Json& body, const Client&) {
  return json_reply(
      model_json(GLM_TRY(stored_model(services, GLM_TRY(required_text(body, "path"))))));
}

}  // namespace glm::api
