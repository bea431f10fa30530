#include "cmd/daemon/text_model.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "modelfiles/parser.h"
#include "runner/text/messages.h"

namespace glm::daemon {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::uint64_t kTokenizerSizeMax = 256ull << 20;
constexpr std::uint64_t kTemplateSizeMax = 4ull << 20;

// chat_template.jinja, or the older key in tokenizer_config.json; "" when there is neither.
Result<std::string> read_template(const runner::CheckpointFiles& files) {
  if (files.contains("chat_template.jinja")) {
    return runner::read_small_file(files, "chat_template.jinja", kTemplateSizeMax);
  }
  if (!files.contains("tokenizer_config.json")) return std::string();
  const std::string text =
      GLM_TRY(runner::read_small_file(files, "tokenizer_config.json", kTemplateSizeMax));
  const Json config = Json::parse(text, nullptr, false);
  if (!config.is_object() || !config.contains("chat_template")) return std::string();
  const Json& source = config["chat_template"];
  return source.is_string() ? source.get<std::string>() : std::string();
}

bool has_system(const Json& messages) {
  for (const Json& message : messages) {
    const auto role = message.find("role");
    if (role != message.end() && (*role == "system" || *role == "developer")) return true;
  }
  return false;
}

}  // namespace

TextModel::TextModel(runner::ModelFacts facts, runner::Tokenizer tokenizer)
    : facts_(std::move(facts)), tokenizer_(std::move(tokenizer)) {}

Result<std::string> find_chat_template(const runner::CheckpointFiles& files,
                                       const modelfiles::Modelfile& modelfile) {
  if (!modelfile.template_text.empty()) return modelfile.template_text;
  return read_template(files);
}

Error with_repair_hint(Error error) {
  if (error.code == Errc::corrupt) {
    error.message += "; the file in the store is damaged: remove the model and pull it again";
  }
  return error;
}

Result<TextModel> TextModel::load(const runner::CheckpointFiles& files,
                                  const std::string& modelfile) {
  Result<TextModel> model = read(files, modelfile);
  if (!model.ok()) return with_repair_hint(std::move(model).error());
  return model;
}

Result<TextModel> TextModel::read(const runner::CheckpointFiles& files,
                                  const std::string& modelfile) {
  runner::ModelFacts facts = GLM_TRY(runner::inspect(files));
  const std::string json =
      GLM_TRY(runner::read_small_file(files, "tokenizer.json", kTokenizerSizeMax));
  TextModel model(std::move(facts),
                  GLM_TRY(runner::Tokenizer::parse(json)));
  if (!modelfile.empty()) {
    model.modelfile_ = GLM_TRY(modelfiles::parse(modelfile, "Modelfile"));
  }
  const std::string source = GLM_TRY(find_chat_template(files, model.modelfile_));
  if (!source.empty()) {
    model.template_ = GLM_TRY(runner::ChatTemplate::parse(source).with("chat template"));
  }
  return model;
}

Result<std::string> TextModel::render(const Json& messages, const Json& tools,
                                      const Json& extras) const {
  if (!template_) {
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
  Json context = extras.is_object() ? extras : Json::object();
  context["messages"] = GLM_TRY(runner::normalise_messages(std::move(all)));
  if (tools.is_array() && !tools.empty()) context["tools"] = tools;
  context["add_generation_prompt"] = true;
  return template_->render(context).with("chat template");
}

}  // namespace glm::daemon
