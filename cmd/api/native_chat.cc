// POST /api/chat and POST /api/generate, in Ollama's shape: NDJSON when streaming (the default),
// else one object with everything joined.
#include "cmd/api/native_chat.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include "cmd/api/answer.h"
#include "cmd/api/json_body.h"
#include "cmd/api/routes.h"

namespace glm::api {
namespace {

// How an endpoint wraps content: {"message": {...}} or {"response": …, "thinking": …}.
enum class Shape { chat, generate };

// One that was cut off has no arguments that could be shown as an object.
bool has_calls(const daemon::Delta& delta) {
  return std::any_of(delta.tool_calls.begin(), delta.tool_calls.end(),
                     [](const daemon::ToolCall& call) { return !call.cut_off; });
}

Json tool_calls_json(const std::vector<daemon::ToolCall>& calls, Clock& clock) {
  static std::atomic<std::uint64_t> next{1};
  Json list = Json::array();
  for (const daemon::ToolCall& call : calls) {
    if (call.cut_off) continue;
    Json arguments = Json::parse(call.arguments, nullptr, false);
    if (arguments.is_discarded()) arguments = Json::object();
    // Unique among all calls of all answers.
    list.push_back(
        {{"id", fmt::format("call_{:x}_{}", unix_seconds(clock.wall()), next.fetch_add(1))},
         {"function", {{"index", call.index}, {"name", call.name}, {"arguments", arguments}}}});
  }
  return list;
}

Json piece(Shape shape, const Answer& answer, Clock& clock, const daemon::Delta& delta) {
  Json json = {{"model", answer.model}, {"created_at", rfc3339(clock.wall())}};
  if (shape == Shape::generate) {
    json["response"] = delta.content;
    if (!delta.thinking.empty()) json["thinking"] = delta.thinking;
    if (has_calls(delta)) json["tool_calls"] = tool_calls_json(delta.tool_calls, clock);
  } else {
    Json message = {{"role", "assistant"}, {"content", delta.content}};
    if (!delta.thinking.empty()) message["thinking"] = delta.thinking;
    if (has_calls(delta)) message["tool_calls"] = tool_calls_json(delta.tool_calls, clock);
    json["message"] = std::move(message);
  }
  json["done"] = false;
  return json;
}

// One line for the person about where the model runs; ours, other clients pass over it.
void add_note(Json& json, const Answer& answer) {
  const std::string& note = answer.lease->runner->ready().note;
  if (!note.empty()) json["note"] = note;
}

void add_statistics(Json& json, const Answer& answer, Clock& clock) {
  const daemon::GenerationStats& stats = answer.generation->stats();
  json["done"] = true;
  json["done_reason"] = stats.done_reason == "tool_calls" ? "stop" : stats.done_reason;
  json["total_duration"] = std::chrono::nanoseconds(clock.now() - answer.begun).count();
  json["load_duration"] = answer.lease.load_ns;
  json["prompt_eval_count"] = stats.prompt_tokens;
  json["prompt_eval_cached"] = stats.cached_tokens;
  json["prompt_eval_duration"] = stats.prompt_ns;
  json["eval_count"] = stats.tokens;
  json["eval_duration"] = stats.eval_ns;
}

void stream(Shape shape, Answer& answer, Clock& clock, const Client& client, StreamWriter& writer) {
  const auto line = [&](const Json& json) { return writer.write(dump(json) + "\n"); };
  bool first = true;
  const Status done = for_each_delta(answer, client, [&](const daemon::Delta& delta) {
    // A call is shown when it is whole.
    if (delta.thinking.empty() && delta.content.empty() && !has_calls(delta)) return true;
    Json json = piece(shape, answer, clock, delta);
    if (std::exchange(first, false)) add_note(json, answer);
    return line(json);
  });
  if (!done.ok()) {
    (void)line(error_body(Dialect::native, done.error()));
    return;
  }
  Json last = piece(shape, answer, clock, {});
  add_statistics(last, answer, clock);
  (void)line(last);
}

Result<Reply> whole(Shape shape, Answer& answer, Clock& clock, const Client& client) {
  daemon::Delta all;
  GLM_TRY(for_each_delta(answer, client, [&](const daemon::Delta& delta) {
    all.append(delta);
    return true;
  }));
  Json json = piece(shape, answer, clock, all);
  add_note(json, answer);
  add_statistics(json, answer, clock);
  return json_reply(json);
}

// true, false, "low" … as Ollama's `think`.
Status read_think(const Json& body, Question& question) {
  const Json* value = find(body, "think");
  if (value == nullptr) return Ok{};
  if (value->is_boolean()) {
    question.thinking.on = value->get<bool>();
  } else if (*value == "true" || *value == "false") {
    question.thinking.on = *value == "true";
  } else if (*value == "none") {
    question.thinking.on = false;
  } else {
    // For models without levels any of them means yes.
    for (const char* level : {"low", "medium", "high", "max"}) {
      if (*value == level) question.thinking = {.on = true, .level = level};
    }
  }
  if (!question.thinking.on) {
    return make_error(Errc::invalid_argument,
                      "field 'think' wants true, false, low, medium, high or max, got {}",
                      dump(*value));
  }
  question.thinking_required = *question.thinking.on;
  return Ok{};
}

Result<Question> read_common(const Json& body) {
  Question question;
  question.model = GLM_TRY(required_text(body, "model"));
  GLM_TRY(read_think(body, question));
  question.template_extras = GLM_TRY(template_kwargs_field(body));
  question.keep_alive = GLM_TRY(keep_alive_field(body));
  if (const Json* options = find(body, "options")) question.options = *options;
  GLM_TRY(refuse_set_fields(
      body, {"format", "images", "suffix", "template", "logprobs", "top_logprobs", "context"}));
  return question;
}

// An empty request loads the model, or with keep_alive 0 unloads it.
Result<Reply> load_or_unload(Services& services, Shape shape, const Question& question,
                             const Client& client) {
  const bool unload = question.keep_alive && question.keep_alive->count() == 0;
  const store::Manifest manifest = GLM_TRY(unload ? stored_model(services, question.model)
                                                  : find_model(services, question.model));
  if (unload) {
    (void)services.models.unload(manifest.name);
  } else {
    GLM_TRY(load(services, manifest, question, client));
  }
  Json json = {{"model", question.model}, {"created_at", rfc3339(services.clock.wall())}};
  if (shape == Shape::generate) {
    json["response"] = "";
  } else {
    json["message"] = {{"role", "assistant"}, {"content", ""}};
  }
  json["done"] = true;
  json["done_reason"] = unload ? "unload" : "load";
  return json_reply(json);
}

Result<Reply> reply(Services& services, Shape shape, const Question& question, const Json& body,
                    const Client& client) {
  const bool streaming = GLM_TRY(boolean(body, "stream")).value_or(true);
  const std::shared_ptr<Answer> answer = GLM_TRY(ask(services, question, client));
  if (!streaming) return whole(shape, *answer, services.clock, client);
  Reply out;
  out.content_type = "application/x-ndjson";
  out.stream = [answer, shape, &client, &clock = services.clock](StreamWriter& writer) {
    stream(shape, *answer, clock, client, writer);
  };
  return out;
}

}  // namespace

Result<Reply> native_chat(Services& services, const Json& body, const Client& client) {
  Question question = GLM_TRY(read_common(body));
  const Json* messages = find(body, "messages");
  if (messages == nullptr || (messages->is_array() && messages->empty())) {
    return load_or_unload(services, Shape::chat, question, client);
  }
  question.messages = *messages;
  if (const Json* tools = find(body, "tools")) question.tools = *tools;
  return reply(services, Shape::chat, question, body, client);
}

Result<Reply> native_generate(Services& services, const Json& body, const Client& client) {
  Question question = GLM_TRY(read_common(body));
  const std::string prompt = GLM_TRY(text(body, "prompt")).value_or("");
  if (prompt.empty()) return load_or_unload(services, Shape::generate, question, client);
  if (GLM_TRY(boolean(body, "raw")).value_or(false)) {
    question.raw_prompt = prompt;
  } else {
    if (const auto system = GLM_TRY(text(body, "system")); system && !system->empty()) {
      question.messages.push_back({{"role", "system"}, {"content", *system}});
    }
    question.messages.push_back({{"role", "user"}, {"content", prompt}});
  }
  return reply(services, Shape::generate, question, body, client);
}

}  // namespace glm::api
