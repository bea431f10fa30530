#include "cmd/daemon/prompt_files.h"

#include <nlohmann/json.hpp>

#include "runner/text/tokenizer.h"

namespace glm::daemon {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::uint64_t kFileSizeMax = 16ull << 20;  // tokenizer_config.json lists added tokens

constexpr std::uint64_t kTokenizerSizeMax = 256ull << 20;

constexpr const char* kSpecialTokens[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                          "pad_token", "cls_token", "mask_token"};

Result<std::string> text_of(const runner::CheckpointFiles& files, const char* name) {
  if (!files.contains(name)) return std::string();
  return runner::read_small_file(files, name, kFileSizeMax);
}

// An object; empty when there is no such file, or it holds something else.
Result<Json> object_of(const runner::CheckpointFiles& files, const char* name) {
  const std::string text = GLM_TRY(text_of(files, name));
  Json json = Json::parse(text, nullptr, false);
  return json.is_object() ? std::move(json) : Json::object();
}

std::string text_field(const Json& json, const char* field) {
  if (!json.is_object() || !json.contains(field) || !json[field].is_string()) return {};
  return json[field].get<std::string>();
}

// "chat_template": a text, or a list of {"name", "template"}.
ChatTemplates templates_in(const Json& config) {
  ChatTemplates out;
  out.standard = text_field(config, "chat_template");
  if (!config.contains("chat_template") || !config["chat_template"].is_array()) return out;
  for (const Json& entry : config["chat_template"]) {
    const std::string name = text_field(entry, "name");
    if (name == "default") out.standard = text_field(entry, "template");
    if (name == "tool_use") out.with_tools = text_field(entry, "template");
  }
  return out;
}

}  // namespace

const std::string& ChatTemplates::choose(const Json& tools) const {
  return !tools.is_null() && !with_tools.empty() ? with_tools : standard;
}

Result<ChatTemplates> find_chat_templates(const runner::CheckpointFiles& files,
                                          const modelfiles::Modelfile& modelfile) {
  ChatTemplates out;
  out.standard = modelfile.template_text;
  if (!out.standard.empty()) return out;
  out.standard = GLM_TRY(text_of(files, "chat_template.jinja"));
  out.with_tools = GLM_TRY(text_of(files, "additional_chat_templates/tool_use.jinja"));
  if (!out.standard.empty()) return out;
  for (const char* name : {"tokenizer_config.json", "chat_template.json"}) {
    ChatTemplates found = templates_in(GLM_TRY(object_of(files, name)));
    if (!found.standard.empty() || !found.with_tools.empty()) return found;
  }
  return out;
}

Error no_tokenizer() {
  return make_error(Errc::unsupported,
                    "it has no tokenizer.json, and glm reads no other form of a tokenizer");
}

Status check_tokenizer(const runner::CheckpointFiles& files) {
  if (!files.contains("tokenizer.json")) return no_tokenizer();
  const std::string json =
      GLM_TRY(runner::read_small_file(files, "tokenizer.json", kTokenizerSizeMax));
  GLM_TRY(runner::Tokenizer::parse(json));
  return Ok{};
}

Result<std::string> find_chat_template(const runner::CheckpointFiles& files,
                                       const modelfiles::Modelfile& modelfile) {
  return GLM_TRY(find_chat_templates(files, modelfile)).standard;
}

Result<Json> special_tokens(const runner::CheckpointFiles& files) {
  Json out = Json::object();
  for (const char* name : {"tokenizer_config.json", "special_tokens_map.json"}) {
    const Json config = GLM_TRY(object_of(files, name));
    for (const char* token : kSpecialTokens) {
      if (out.contains(token) || !config.contains(token)) continue;
      const Json& value = config[token];
      if (value.is_string()) out[token] = value;
      const std::string content = text_field(value, "content");
      if (!content.empty()) out[token] = content;
    }
  }
  return out;
}

}  // namespace glm::daemon
