#include "cmd/api/answer.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/units.h"
#include "cmd/api/json_body.h"
#include "modelfiles/catalog.h"
#include "modelfiles/nearest_model.h"
#include "modelfiles/parameters.h"
#include "modelfiles/parser.h"
#include "registry/model_name.h"
#include "store/store.h"

namespace glm::api {
namespace {

// Request over Modelfile; the checkpoint's generation_config gets its turn in sampling().
Result<modelfiles::RunOptions> run_options(const Question& question,
                                           const modelfiles::Modelfile& modelfile) {
  OptionSet set(modelfiles::parameter_table());
  GLM_TRY(modelfiles::apply(modelfile, set));
  GLM_TRY(modelfiles::apply_request(nlohmann::json(question.options), set));
  return modelfiles::run_options(set);
}

runner::SamplingOptions sampling(const modelfiles::RunOptions& options,
                                 const runner::GenerationDefaults& defaults) {
  runner::SamplingOptions s;
  const bool greedy = defaults.do_sample.has_value() && !*defaults.do_sample;
  const auto real = [](const std::optional<double>& asked, const std::optional<float>& file,
                       float fallback) {
    return asked ? static_cast<float>(*asked) : file.value_or(fallback);
  };
  s.temperature =
      greedy && !options.temperature ? 0.0F : real(options.temperature, defaults.temperature, 1.0F);
  s.top_p = real(options.top_p, defaults.top_p, 1.0F);
  s.min_p = real(options.min_p, defaults.min_p, 0.0F);
  s.repeat_penalty = real(options.repeat_penalty, defaults.repetition_penalty, 1.0F);
  s.presence_penalty = real(options.presence_penalty, std::nullopt, 0.0F);
  s.frequency_penalty = real(options.frequency_penalty, std::nullopt, 0.0F);
  const std::int64_t top_k = options.top_k.value_or(defaults.top_k.value_or(0));
  s.top_k = static_cast<std::int32_t>(std::max<std::int64_t>(top_k, 0));
  if (options.repeat_last_n) s.repeat_last_n = static_cast<std::int32_t>(*options.repeat_last_n);
  if (options.seed && *options.seed >= 0) s.seed = static_cast<std::uint64_t>(*options.seed);
  return s;
}

// Pictures that are silently dropped would be a wrong answer.
Status check_text_only(const Json& message) {
  const auto refuse = [] {
    return make_error(Errc::unsupported, "images are not supported: this model reads text only");
  };
  if (!message.is_object()) return Ok{};  // refused, with its place, by normalise_messages
  if (const Json* images = find(message, "images"); images != nullptr && !images->empty()) {
    return refuse();
  }
  const Json* content = find(message, "content");
  if (content == nullptr || !content->is_array()) return Ok{};
  for (const Json& part : *content) {
    const Json* type = part.is_object() ? find(part, "type") : nullptr;
    if (type != nullptr && *type != "text") return refuse();
  }
  return Ok{};
}

// An empty question has a content that is empty; none at all is a mistake of whoever asks.
Status check_content(const Json& message) {
  constexpr std::array<std::string_view, 6> kSaysSomething = {
      "content", "tool_calls", "function_call", "reasoning_content", "reasoning", "thinking"};
  if (!message.is_object()) return Ok{};
  for (const std::string_view field : kSaysSomething) {
    const auto value = message.find(field);
    if (value == message.end()) continue;
    if (field != "tool_calls" || !value->is_array() || !value->empty()) return Ok{};
  }
  return make_error(Errc::invalid_argument,
                    "content is missing, wanted a string or a list of parts");
}

Status check_messages(const Question& question) {
  if (!question.messages.is_array()) {
    return make_error(Errc::invalid_argument, "field 'messages' wants a list, got {}",
                      kind(question.messages));
  }
  if (question.messages.empty()) {
    return make_error(Errc::invalid_argument, "field 'messages' is empty");
  }
  GLM_TRY(check_tools(question.tools));
  std::size_t index = 0;
  for (const Json& message : question.messages) {
    GLM_TRY(check_text_only(message));
    GLM_TRY(check_content(message).with(fmt::format("messages[{}]", index++)));
  }
  return Ok{};
}

Result<std::string> render(const daemon::TextModel& text, const Question& question,
                           const std::string& model) {
  if (question.thinking_required && !text.can_think()) {
    return make_error(Errc::invalid_argument, "\"{}\" does not support thinking", model);
  }
  return text.render(question.messages, question.tools, question.template_extras,
                     question.thinking);
}

}  // namespace

Result<daemon::ModelLease> load(Services& services, const store::Manifest& manifest,
                                const Question& question, const Client& client) {
  // What decides about loading must be known before the model's own Modelfile is at hand as a
  // TextModel; the manifest has its text.
  modelfiles::Modelfile modelfile;
  if (!manifest.modelfile.empty()) {
    modelfile = GLM_TRY(modelfiles::parse(manifest.modelfile, manifest.name));
  }
  const modelfiles::RunOptions options = GLM_TRY(run_options(question, modelfile));
  daemon::RunOptions run;
  run.device = options.device;
  run.kv_cache_type = options.kv_cache_type;
  run.context_max = std::max<std::int64_t>(options.num_ctx.value_or(0), 0);
  return services.models.acquire(manifest, run, question.keep_alive,
                                 [&client] { return client.gone(); });
}

Result<std::shared_ptr<Answer>> submit(Services& services, const Question& question,
                                       const Client& client) {
  const Clock::Steady begun = services.clock.now();
  const store::Manifest manifest = GLM_TRY(find_model(services, question.model));
  const bool plain = question.raw_prompt || !question.prompt_ids.empty();
  if (!plain) GLM_TRY(check_messages(question));  // before others go for its model
  daemon::ModelLease lease = GLM_TRY(load(services, manifest, question, client));
  const daemon::TextModel& text = *lease->text;
  const modelfiles::RunOptions options = GLM_TRY(run_options(question, text.modelfile()));
  daemon::GenerationRequest request;
  using Specials = runner::EncodeOptions::Specials;
  if (plain) {
    request.prompt = question.raw_prompt.value_or("");
    request.prompt_ids = question.prompt_ids;
    request.specials = question.special_tokens ? Specials::add : Specials::omit;
    request.text.plain_text = true;
  } else {
    request.prompt = GLM_TRY(render(text, question, manifest.name));
    request.text.tools = question.tools;
    request.text.call_layout = text.call_layout();
  }
  request.text.stops = options.stop;
  if (options.num_predict && *options.num_predict >= 0) {
    request.tokens_max = std::max<std::int64_t>(*options.num_predict, 1);
  }
  if (request.tokens_max && question.tokens_min > *request.tokens_max) {
    return make_error(Errc::invalid_argument, "at least {} tokens are wanted, but at most {}",
                      question.tokens_min, *request.tokens_max);
  }
  request.tokens_min = question.tokens_min;
  request.priority = question.priority;
  request.ignore_eos = question.ignore_eos;
  request.every_step = question.every_step;
  request.sampling = sampling(options, text.facts().generation);
  request.sampling.logit_bias = question.logit_bias;
  request.sampling.logprobs = question.logprobs;
  request.answers = question.answers;
  request.arrived = begun;
  auto generation = GLM_TRY(daemon::Generation::start(*lease, std::move(request)));
  return std::make_shared<Answer>(
      Answer{question.model, std::move(lease), std::move(generation), std::nullopt, begun});
}

Status wait_for_first(Answer& answer, const Client& client) {
  answer.first = GLM_TRY(answer.generation->next([&client] { return client.gone(); }));
  return Ok{};
}

Result<std::shared_ptr<Answer>> ask(Services& services, const Question& question,
                                    const Client& client) {
  std::shared_ptr<Answer> answer = GLM_TRY(submit(services, question, client));
  GLM_TRY(wait_for_first(*answer, client));
  return answer;
}

Status for_each_delta(Answer& answer, const Client& client,
                      const std::function<bool(const daemon::Delta&)>& each) {
  const auto next = [&] { return answer.generation->next([&client] { return client.gone(); }); };
  std::optional<daemon::Delta> delta = std::exchange(answer.first, std::nullopt);
  if (!delta) delta = GLM_TRY(next());
  while (delta) {
    if (!each(*delta)) {
      return make_error(Errc::cancelled, "the client closed its connection");
    }
    delta = GLM_TRY(next());
  }
  return Ok{};
}

namespace {

// Errc::not_found is left to who knows what to say.
Result<store::Manifest> look_up(Services& services, const registry::ModelRef& ref) {
  Result<store::Manifest> exact = services.store.find(ref.store_name());
  if (exact.ok() || exact.error().code != Errc::not_found || !ref.is_repository()) return exact;
  for (store::Manifest& manifest : GLM_TRY(services.store.list())) {
    if (manifest.source == ref.repository && manifest.revision == ref.revision) {
      return std::move(manifest);
    }
  }
  return exact;
}

}  // namespace

Result<store::Manifest> stored_model(Services& services, const std::string& name) {
  const registry::ModelRef ref = GLM_TRY(registry::ModelRef::parse(name));
  Result<store::Manifest> found = look_up(services, ref);
  if (found.ok() || found.error().code != Errc::not_found) return found;
  const std::string near = modelfiles::nearest_model(name, services.store.names());
  return make_error(Errc::not_found, "model \"{}\" not found{}", name,
                    near.empty() ? "; 'glm list' shows those that are here" : near);
}

Result<store::Manifest> find_model(Services& services, const std::string& name) {
  const registry::ModelRef ref = GLM_TRY(registry::ModelRef::parse(name));
  Result<store::Manifest> found = look_up(services, ref);
  if (found.ok() || found.error().code != Errc::not_found) return found;
  const std::string absent = fmt::format("model \"{}\" not found", name);
  if (!ref.is_repository()) {
    // A name that no pull would know either.
    auto known = services.catalog.find(ref.model, ref.tag, services.store.names());
    if (!known.ok() && known.error().code == Errc::not_found)
      return std::move(known).error().with(absent);
  }
  return make_error(Errc::not_found, "{}, try pulling it first: glm pull {}", absent, name);
}

Result<std::optional<daemon::KeepAlive>> keep_alive_field(const Json& body) {
  const Json* value = find(body, "keep_alive");
  if (value == nullptr) return std::optional<daemon::KeepAlive>();
  if (value->is_number()) {
    const double seconds = value->get<double>();
    if (seconds < 0) return std::optional<daemon::KeepAlive>(-1);
    const double ms = std::min(seconds * 1000, 1e15);
    return std::optional<daemon::KeepAlive>(static_cast<std::int64_t>(ms));
  }
  if (!value->is_string()) {
    return make_error(Errc::invalid_argument,
                      "field 'keep_alive' wants seconds or a duration such as \"5m\", got {}",
                      kind(*value));
  }
  return std::optional<daemon::KeepAlive>(
      GLM_TRY(parse_duration(value->get<std::string>()).with("keep_alive")));
}

namespace {

Status check_tool(const Json& tool) {
  if (!tool.is_object()) {
    return make_error(Errc::invalid_argument, "an object with a 'function' is wanted, got {}",
                      kind(tool));
  }
  const Json* function = find(tool, "function");
  if (function == nullptr) {
    return make_error(Errc::invalid_argument,
                      "field 'function' is missing, an object with 'name' and 'parameters' is "
                      "wanted; only tools that are functions can be called here");
  }
  if (!function->is_object()) {
    return make_error(Errc::invalid_argument,
                      "field 'function' wants an object with 'name' and 'parameters', got {}",
                      kind(*function));
  }
  GLM_TRY(required_text(*function, "name").with("function"));
  return Ok{};
}

}  // namespace

Status check_tools(const Json& tools) {
  if (!tools.is_null() && !tools.is_array()) {
    return make_error(Errc::invalid_argument, "field 'tools' wants a list, got {}", kind(tools));
  }
  std::size_t index = 0;
  for (const Json& tool : tools) {
    GLM_TRY(check_tool(tool).with(fmt::format("tools[{}]", index++)));
  }
  return Ok{};
}

Result<Json> template_kwargs_field(const Json& body) {
  const Json* kwargs = find(body, "chat_template_kwargs");
  if (kwargs == nullptr) return Json::object();
  if (kwargs->is_object()) return *kwargs;
  return make_error(Errc::invalid_argument, "field 'chat_template_kwargs' wants an object, got {}",
                    kind(*kwargs));
}

Status refuse_fields(const Json& body, const std::vector<std::string_view>& fields) {
  for (const std::string_view field : fields) {
    if (find(body, field) == nullptr) continue;
    return make_error(Errc::unsupported, "field '{}' is not supported by this version", field);
  }
  return Ok{};
}

Status refuse_set_fields(const Json& body, const std::vector<std::string_view>& fields) {
  for (const std::string_view field : fields) {
    const Json* value = find(body, field);
    const bool unset = value == nullptr || *value == false || *value == 0 || *value == "" ||
                       *value == Json::array();
    if (!unset) GLM_TRY(refuse_fields(body, {field}));
  }
  return Ok{};
}

}  // namespace glm::api
