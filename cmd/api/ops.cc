// The daemon about itself: GET /, /api/version, /health, /ready, /metrics; POST /api/shutdown.
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "cmd/api/json_body.h"
#include "cmd/api/native_models.h"
#include "cmd/daemon/metrics.h"
#include "cmd/daemon/models.h"
#include "cmd/services.h"
#include "cmd/version.h"
#include "store/store.h"

namespace glm::api {

Result<Reply> greeting(Services&, const Json&, const Client&) {
  Reply reply;
  reply.content_type = "text/plain";
  reply.body = "glm is running";
  return reply;
}

Result<Reply> version(Services& services, const Json&, const Client&) {
  Json answer = {
      {"version", kVersion}, {"name", "glm"}, {"home", services.home}, {"hub", services.hub}};
  if (std::string warning = services.store.warning(); !warning.empty()) {
    answer["warning"] = std::move(warning);
  }
  return json_reply(answer);
}

Result<Reply> health(Services&, const Json&, const Client&) {
  return json_reply({{"status", "ok"}});
}

// A model is ready once its runner has generated tokens, and as long as it lives and is not being
// stopped.
Result<Reply> ready(Services& services, const Json&, const Client&) {
  bool any = false;
  Json models = Json::array();
  for (const daemon::ModelInfo& info : services.models.list()) {
    any = any || info.state == daemon::ModelState::ready;
    models.push_back({{"name", info.manifest.name}, {"state", daemon::name(info.state)}});
  }
  Reply reply =
      json_reply({{"status", any ? "ready" : "no model is ready"}, {"models", std::move(models)}});
  if (!any) reply.http_status = 503;
  return reply;
}

Result<Reply> metrics(Services& services, const Json&, const Client&) {
  Reply reply;
  reply.content_type = "text/plain; version=0.0.4; charset=utf-8";
  reply.body = services.metrics.text();
  return reply;
}

Result<Reply> shutdown(Services& services, const Json&, const Client&) {
  services.shutdown();
  return json_reply({{"status", "stopping"}, {"pid", ::getpid()}});
}

}  // namespace glm::api
