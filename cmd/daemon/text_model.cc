#include "cmd/daemon/text_model.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "modelfiles/parser.h"
#include "runner/text/messages.h"

namespace glm::daemon {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::uint64_t kTokenizerSizeMax = 256ull << 20;

bool has_system(const Json& messages) {
  for (const Json& message : messages) {
    const auto role = message.find("role");
    if (role != message.end() && (*role == "system" || *role == "developer")) return true;
  }
  return false;
}

// No client has written it: its mistakes are nobody's wrong use.
Result<runner::ChatTemplate> parse_published(const std::string& source) {
  Result<runner::ChatTemplate> parsed = runner::ChatTemplate::parse(source);
  if (parsed.ok() || parsed.error().code != Errc::invalid_argument) return parsed;
  return Error{Errc::corrupt, std::move(parsed).error().message};
}

}  // namespace

TextModel::TextModel(runner::ModelFacts facts, runner::Tokenizer tokenizer)
    : facts_(std::move(facts)), tokenizer_(std::move(tokenizer)) {}

Error with_repair_hint(Error error, std::string_view model) {
  if (error.code == Errc::corrupt) {
    error.message += fmt::format(
        "; if a file was damaged here, 'glm pull {}' finds and mends it; if the error comes back, "
        "the repository itself is broken",
        model);
  }
  return error;
}

Result<TextModel> TextModel::load(const runner::CheckpointFiles& files,
                                  const std::string& modelfile) {
  runner::ModelFacts facts = GLM_TRY(runner::inspect(files));
  const std::string json =
      GLM_TRY(runner::read_small_file(files, "tokenizer.json", kTokenizerSizeMax));
  TextModel model(std::move(facts), GLM_TRY(runner::Tokenizer::parse(json)));
  if (!modelfile.empty()) {
    model.modelfile_ = GLM_TRY(modelfiles::parse(modelfile, "Modelfile"));
  }
  const ChatTemplates sources = GLM_TRY(find_chat_templates(files, model.modelfile_));
  if (!sources.standard.empty()) {
    model.template_ = GLM_TRY(parse_published(sources.standard));
  }
  if (!sources.with_tools.empty()) {
    model.tool_template_ = GLM_TRY(parse_published(sources.with_tools));
  }
  model.special_tokens_ = GLM_TRY(special_tokens(files));
  return model;
}

const runner::ChatTemplate* TextModel::template_for(const Json& tools) const {
  const bool with_tools = tools.is_array() && !tools.empty();
  if (with_tools && tool_template_) return &*tool_template_;
  return template_ ? &*template_ : nullptr;
}

runner::CallLayout TextModel::call_layout() const {
  if (tool_template_) return runner::call_layout(*tool_template_);
  return template_ ? runner::call_layout(*template_) : runner::CallLayout::none;
}

Result<std::string> TextModel::render(const Json& messages, const Json& tools, const Json& extras,
                                      const Thinking& thinking) const {
  const runner::ChatTemplate* used = template_for(tools);
  if (used == nullptr) {
    return make_error(Errc::unsupported,
                      "the checkpoint has no chat template; use /api/generate with raw: true, or "
                      "give it a TEMPLATE in a Modelfile");
  }
  Json all = Json::array();
  if (!modelfile_.system.empty() && !has_system(messages)) {
    all.push_back({{"role", "system"}, {"content", modelfile_.system}});
  }
  for (const modelfiles::Message& message : modelfile_.messages) {
    all.push_back({{"role", message.role}, {"content", message.content}});
  }
  for (const Json& message : messages) all.push_back(message);
  // What transformers' apply_chat_template() lets a template see.
  Json context = special_tokens_;
  context["documents"] = nullptr;
  if (extras.is_object()) context.update(extras);
  add_thinking(*used, thinking, context);
  context["messages"] = GLM_TRY(runner::normalise_messages(std::move(all)));
  context["tools"] = tools.is_array() && !tools.empty() ? tools : Json();
  context["add_generation_prompt"] = true;
  Result<std::string> prompt = used->render(context);
  // A template that never ends will not end next time either: no reason to try again.
  if (!prompt.ok() && prompt.error().code == Errc::exhausted) {
    return Error{Errc::unsupported, prompt.error().message};
  }
  return prompt;
}

}  // namespace glm::daemon
