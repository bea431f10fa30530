// GET /api/tags, /api/ps; POST /api/show, /api/copy; DELETE /api/delete, in Ollama's shape.
#include "cmd/api/native_models.h"

#include <utility>

#include "cmd/api/answer.h"
#include "cmd/api/json_body.h"
#include "modelfiles/parser.h"
#include "modelfiles/writer.h"
#include "registry/model_name.h"
#include "store/store.h"

namespace glm::api {
namespace {

// The summary written at pull time; an empty object for what an older version wrote.
Json facts_of(const store::Manifest& manifest) {
  Json facts = Json::parse(manifest.facts_json, nullptr, false);
  return facts.is_object() ? facts : Json::object();
}

std::string text_of(const Json& facts, const char* field) {
  const Json* value = find(facts, field);
  return value != nullptr && value->is_string() ? value->get<std::string>() : std::string();
}

// "7.2M", "31.2B".
std::string parameter_size(const Json& facts) {
  const Json* value = find(facts, "parameters");
  if (value == nullptr || !value->is_number()) return "";
  const double count = value->get<double>();
  if (count >= 1e9) return fmt::format("{:.1f}B", count / 1e9);
  return fmt::format("{:.1f}M", count / 1e6);
}

Json details(const store::Manifest& manifest) {
  const Json facts = facts_of(manifest);
  const std::string family = text_of(facts, "architecture");
  return {{"parent_model", ""},
          {"format", "safetensors"},
          {"family", family},
          {"families", Json::array({family})},
          {"parameter_size", parameter_size(facts)},
          {"quantization_level", text_of(facts, "format")}};
}

// What the template knows how to write down, the model can do.
Result<Json> capabilities(const std::string& chat_template) {
  Json list = Json::array({"completion"});
  if (chat_template.empty()) return list;
  const auto parsed = GLM_TRY(runner::ChatTemplate::parse(chat_template).with("chat template"));
  if (parsed.mentions("tools")) list.push_back("tools");
  if (parsed.mentions("enable_thinking")) list.push_back("thinking");
  return list;
}

Json listing(const store::Manifest& manifest) {
  return {{"name", manifest.name},
          {"model", manifest.name},
          {"modified_at", manifest.pulled_at},
          {"size", manifest.size_bytes()},
          {"digest", manifest.digest().hex()},
          {"details", details(manifest)},
          {"source", manifest.source},
          {"revision", manifest.revision},
          {"commit", manifest.commit}};
}

}  // namespace

Result<Reply> tags(Services& services, const Json&, const Client&) {
  Json models = Json::array();
  for (const store::Manifest& manifest : GLM_TRY(services.store.list())) {
    models.push_back(listing(manifest));
  }
  return json_reply({{"models", std::move(models)}});
}

Result<Reply> ps(Services& services, const Json&, const Client&) {
  Json models = Json::array();
  for (const daemon::LoadedInfo& info : services.models.list()) {
    Json json = listing(info.manifest);
    json["size"] = info.memory_bytes;
    json["size_vram"] = info.device.starts_with("cuda") ? info.memory_bytes : 0;
    // Ollama's clients read a date far away as "for ever".
    json["expires_at"] = info.expires_at ? rfc3339(*info.expires_at) : "2318-01-01T00:00:00Z";
    json["context_length"] = info.context_max;
    json["device"] = info.device;
    json["requests"] = info.requests;
    json["runner_pid"] = info.runner_pid;
    models.push_back(std::move(json));
  }
  return json_reply({{"models", std::move(models)}});
}

Result<Reply> show(Services& services, const Json& body, const Client&) {
  const std::string name = GLM_TRY(model_field(body));
  const store::Manifest manifest = GLM_TRY(find_model(services, name));
  modelfiles::Modelfile modelfile;
  if (!manifest.modelfile.empty()) {
    modelfile = GLM_TRY(modelfiles::parse(manifest.modelfile, manifest.name));
  }
  runner::CheckpointFiles files;
  Json listed = Json::array();
  for (const store::ManifestFile& file : manifest.files) {
    files.emplace(file.path, GLM_TRY(services.store.blobs().path(file.digest).with(file.path)));
    listed.push_back(
        {{"path", file.path}, {"digest", file.digest.str()}, {"size", file.size_bytes}});
  }
  // Without the tokenizer, which is large and tells nothing here.
  Result<runner::ModelFacts> facts = runner::inspect(files);
  if (!facts.ok()) return daemon::with_repair_hint(std::move(facts).error());
  const std::string chat_template = GLM_TRY(daemon::find_chat_template(files, modelfile));
  std::string license;
  for (const std::string& part : modelfile.licenses) license += part + "\n";
  Json can = GLM_TRY(capabilities(chat_template));
  return json_reply({{"model", manifest.name},
                     {"license", license},
                     {"modelfile", manifest.modelfile},
                     {"parameters", modelfiles::parameters_text(modelfile)},
                     {"template", chat_template},
                     {"system", modelfile.system},
                     {"details", details(manifest)},
                     {"model_info", Json::parse(runner::facts_json(*facts), nullptr, false)},
                     {"capabilities", std::move(can)},
                     {"modified_at", manifest.pulled_at},
                     {"digest", manifest.digest().hex()},
                     {"size", manifest.size_bytes()},
                     {"source", manifest.source},
                     {"revision", manifest.revision},
                     {"commit", manifest.commit},
                     {"files", std::move(listed)}});
}

Result<Reply> copy(Services& services, const Json& body, const Client&) {
  const std::string source = GLM_TRY(required_text(body, "source"));
  const std::string destination = GLM_TRY(required_text(body, "destination"));
  const store::Manifest manifest = GLM_TRY(find_model(services, source));
  const registry::ModelRef to = GLM_TRY(registry::ModelRef::parse(destination));
  GLM_TRY(services.store.copy(manifest.name, to.store_name()));
  return json_reply(Json::object());
}

Result<Reply> remove(Services& services, const Json& body, const Client&) {
  const std::string name = GLM_TRY(model_field(body));
  const store::Manifest manifest = GLM_TRY(find_model(services, name));
  (void)services.models.unload(manifest.name);
  GLM_TRY(services.store.remove(manifest.name));
  return json_reply(Json::object());
}

}  // namespace glm::api
