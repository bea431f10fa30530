// The daemon about itself: GET /, /api/version, /health; POST /api/shutdown.
#include <unistd.h>

#include "cmd/api/json_body.h"
#include "cmd/api/native_models.h"
#include "cmd/services.h"
#include "cmd/version.h"

namespace glm::api {

Result<Reply> greeting(Services&, const Json&, const Client&) {
  Reply reply;
  reply.content_type = "text/plain";
  reply.body = "glm is running";
  return reply;
}

Result<Reply> version(Services&, const Json&, const Client&) {
  return json_reply({{"version", kVersion}, {"name", "glm"}});
}

Result<Reply> health(Services&, const Json&, const Client&) {
  return json_reply({{"status", "ok"}});
}

Result<Reply> shutdown(Services& services, const Json&, const Client&) {
  services.shutdown();
  return json_reply({{"status", "stopping"}, {"pid", ::getpid()}});
}

}  // namespace glm::api
