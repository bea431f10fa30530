// GET /api/tags, /api/catalog, /api/ps; POST /api/show, /api/copy; DELETE /api/delete, in Ollama's
// shape.
#include "cmd/api/native_models.h"

#include <optional>
#include <utility>

#include "cmd/api/answer.h"
#include "cmd/api/description.h"
#include "cmd/api/json_body.h"
#include "cmd/api/plan_answer.h"
#include "cmd/daemon/pulls.h"
#include "modelfiles/catalog.h"
#include "modelfiles/catalog_sizes.h"
#include "modelfiles/parser.h"
#include "registry/model_name.h"
#include "store/store.h"

namespace glm::api {
namespace {

// The summary written at pull time; an empty object for what an older version wrote.
Json facts_of(const store::Manifest& manifest) {
  Json facts = Json::parse(manifest.facts_json, nullptr, false);
  return facts.is_object() ? facts : Json::object();
}

Json listing(const store::Manifest& manifest) {
  return {{"name", manifest.name},
          {"model", manifest.name},
          {"modified_at", manifest.pulled_at},
          {"size", manifest.size_bytes()},
          {"digest", manifest.digest().hex()},
          {"details", details(facts_of(manifest))},
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

Result<Reply> catalog(Services& services, const Json&, const Client&) {
  Json models = Json::array();
  for (const auto& [model, tags] : services.catalog.models()) {
    for (const std::string& tag : tags) {
      const modelfiles::CatalogEntry entry = GLM_TRY(services.catalog.find(model, tag));
      const std::string name = model + ":" + tag;
      const bool pulled = services.store.find(name).ok();
      models.push_back({{"name", name},
                        {"size", modelfiles::catalog_size(entry.modelfile.from)},
                        {"source", entry.modelfile.from},
                        {"pulled", pulled}});
    }
  }
  return json_reply({{"models", std::move(models)}});
}

Result<Reply> ps(Services& services, const Json&, const Client&) {
  Json models = Json::array();
  for (const daemon::ModelInfo& info : services.models.list()) {
    if (info.runner_pid == 0) continue;  // not loaded yet, or going
    Json json = listing(info.manifest);
    json["size"] = info.memory_bytes;
    json["size_vram"] = info.device.starts_with("cuda") ? info.memory_bytes : 0;
    // Ollama's clients read a date far away as "for ever".
    json["expires_at"] = info.expires_at ? rfc3339(*info.expires_at) : "2318-01-01T00:00:00Z";
    json["context_length"] = info.context_max;
    json["device"] = info.device;
    json["requests"] = info.requests;
    json["running"] = info.stats.running;
    json["waiting"] = info.stats.waiting;
    json["runner_pid"] = info.runner_pid;
    models.push_back(std::move(json));
  }
  return json_reply({{"models", std::move(models)}});
}

namespace {

void add(Json& answer, Json more) {
  for (auto& [field, value] : more.items()) answer[field] = std::move(value);
}

Result<Json> show_stored(Services& services, const store::Manifest& manifest,
                         const std::optional<PlanRequest>& wanted) {
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
  Result<runner::ModelFacts> facts = runner::survey(files);
  if (!facts.ok()) return daemon::with_repair_hint(std::move(facts).error(), manifest.name);
  if (!facts->refusal && !files.contains("tokenizer.json")) facts->refusal = daemon::no_tokenizer();
  Json answer = {{"model", manifest.name}, {"modelfile", manifest.modelfile}};
  add(answer, description(*facts, files, modelfile));
  add(answer, {{"modified_at", manifest.pulled_at},
               {"digest", manifest.digest().hex()},
               {"size", manifest.size_bytes()},
               {"source", manifest.source},
               {"revision", manifest.revision},
               {"commit", manifest.commit},
               {"files", std::move(listed)}});
  if (wanted) {
    answer["plan"] = GLM_TRY(plan_answer(*wanted, *facts, modelfile, manifest.source));
  }
  return answer;
}

// A model that is not here; `pulled` tells it from those that are.
Result<Json> show_remote(Services& services, const std::string& name, const Client& client,
                         const std::optional<PlanRequest>& wanted) {
  const daemon::RemoteModel model =
      GLM_TRY(services.pulls.look(name, [&client] { return client.gone(); }));
  modelfiles::Modelfile modelfile;
  if (!model.request.modelfile.empty()) {
    modelfile = GLM_TRY(modelfiles::parse(model.request.modelfile, model.request.name));
  }
  Json listed = Json::array();
  for (const registry::RemoteFile& file : model.snapshot.files) {
    listed.push_back({{"path", file.path}, {"size", file.size_bytes}});
  }
  Json answer = {
      {"model", model.request.name}, {"pulled", false}, {"modelfile", model.request.modelfile}};
  add(answer, description(model.facts, model.files, modelfile));
  add(answer, {{"size", model.weights_bytes},
               {"source", model.snapshot.repository},
               {"revision", model.request.revision},
               {"commit", model.snapshot.commit},
               {"bytes_read", model.bytes_read},
               {"files", std::move(listed)}});
  if (wanted) {
    answer["plan"] =
        GLM_TRY(plan_answer(*wanted, model.facts, modelfile, model.snapshot.repository));
  }
  return answer;
}

}  // namespace

Result<Reply> show(Services& services, const Json& body, const Client& client) {
  const std::string name = GLM_TRY(model_field(body));
  const bool remote = GLM_TRY(boolean(body, "remote")).value_or(false);
  const std::optional<PlanRequest> wanted = GLM_TRY(plan_request(body));
  Result<store::Manifest> manifest = find_model(services, name);
  if (manifest.ok()) return json_reply(GLM_TRY(show_stored(services, *manifest, wanted)));
  if (!remote || manifest.error().code != Errc::not_found) return std::move(manifest).error();
  Result<Json> answer = show_remote(services, name, client, wanted);
  if (!answer.ok() && answer.error().code == Errc::not_found) {
    return std::move(answer).error().with(fmt::format("model \"{}\" not found", name));
  }
  return json_reply(GLM_TRY(std::move(answer)));
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
  const store::Manifest manifest = GLM_TRY(stored_model(services, name));
  (void)services.models.unload(manifest.name);
  GLM_TRY(services.store.remove(manifest.name));
  return json_reply(Json::object());
}

}  // namespace glm::api
