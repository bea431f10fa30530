#include "cmd/api/description.h"

#include <nlohmann/json.hpp>

#include "cmd/api/json_body.h"
#include "cmd/daemon/text_model.h"
#include "modelfiles/writer.h"

namespace glm::api {
namespace {

std::string text_of(const Json& facts, const char* field) {
  const Json* value = find(facts, field);
  return value != nullptr && value->is_string() ? value->get<std::string>() : std::string();
}

// "7.2M", "31.2B".
std::string parameter_size(const Json& facts) {
  const Json* value = find(facts, "parameters");
  if (value == nullptr || !value->is_number()) return "";
  const double count = value->get<double>();
  if (count == 0) return "";
  if (count >= 1e9) return fmt::format("{:.1f}B", count / 1e9);
  return fmt::format("{:.1f}M", count / 1e6);
}

// What the template knows how to write down, the model can do.
Result<Json> capabilities(const std::string& chat_template) {
  Json list = Json::array({"completion"});
  if (chat_template.empty()) return list;
  const auto parsed = GLM_TRY(runner::ChatTemplate::parse(chat_template));
  if (parsed.mentions("tools")) list.push_back("tools");
  if (parsed.mentions("enable_thinking")) list.push_back("thinking");
  return list;
}

// What clients of Ollama look up, by the names of GGUF.
void add_gguf_names(Json& info) {
  const std::string architecture = text_of(info, "architecture");
  info["general.architecture"] = architecture;
  const auto copy = [&](const char* field, std::string name) {
    if (const Json* value = find(info, field)) info[std::move(name)] = Json(*value);
  };
  copy("parameters", "general.parameter_count");
  copy("context_max", architecture + ".context_length");
  copy("hidden_size", architecture + ".embedding_length");
  copy("layers", architecture + ".block_count");
}

}  // namespace

Json details(const Json& facts) {
  const std::string family = text_of(facts, "architecture");
  return {{"parent_model", ""},
          {"format", "safetensors"},
          {"family", family},
          {"families", Json::array({family})},
          {"parameter_size", parameter_size(facts)},
          {"quantization_level", text_of(facts, "format")}};
}

Json description(const runner::ModelFacts& facts, const runner::CheckpointFiles& files,
                 const modelfiles::Modelfile& modelfile) {
  Json info = Json::parse(runner::facts_json(facts), nullptr, false);
  Result<std::string> chat_template = daemon::find_chat_template(files, modelfile);
  Result<Json> can =
      chat_template.ok() ? capabilities(*chat_template) : Result<Json>(chat_template.error());
  if (!can.ok()) info["notes"].push_back(can.error().message);
  std::string license;
  for (const std::string& part : modelfile.licenses) license += part + "\n";
  Json what = details(info);
  add_gguf_names(info);
  return {{"details", std::move(what)},
          {"model_info", std::move(info)},
          {"capabilities", std::move(can).value_or(Json::array())},
          {"template", std::move(chat_template).value_or("")},
          {"license", license},
          {"parameters", modelfiles::parameters_text(modelfile)},
          {"system", modelfile.system}};
}

}  // namespace glm::api
