// POST /api/pull {"model", "stream"} → NDJSON of {"status", "digest", "total", "completed"}.
#include <utility>

#include "cmd/api/json_body.h"
#include "cmd/api/native_models.h"
#include "cmd/api/routes.h"
#include "cmd/daemon/pulls.h"
#include "cmd/services.h"

namespace glm::api {
namespace {

constexpr std::chrono::milliseconds kPatience{200};

Json line(const registry::PullProgress& progress) {
  Json json = {{"status", progress.status}};
  if (!progress.digest.empty()) json["digest"] = progress.digest;
  if (!progress.file.empty()) json["file"] = progress.file;
  if (progress.total_bytes > 0) {
    json["total"] = progress.total_bytes;
    json["completed"] = progress.completed_bytes;
  }
  return json;
}

// Passes on what happens until the pull is over or the client gone.
Status watch(daemon::PullJob& job, const Client& client,
             const std::function<bool(const Json&)>& each) {
  std::uint64_t seen = 0;
  while (true) {
    const std::optional<Status> outcome = job.outcome();
    for (const registry::PullProgress& progress : job.wait(seen, kPatience)) {
      if (!each(line(progress))) {
        return make_error(Errc::cancelled, "the client closed its connection");
      }
    }
    if (outcome) return *outcome;
    if (client.gone()) return make_error(Errc::cancelled, "the client closed its connection");
  }
}

}  // namespace

Result<Reply> pull(Services& services, const Json& body, const Client& client) {
  const std::string name = GLM_TRY(model_field(body));
  const bool streaming = GLM_TRY(boolean(body, "stream")).value_or(true);
  const std::shared_ptr<daemon::PullJob> job = GLM_TRY(services.pulls.join(name));
  if (!streaming) {
    GLM_TRY(watch(*job, client, [](const Json&) { return true; }));
    return json_reply({{"status", "success"}});
  }
  Reply reply;
  reply.content_type = "application/x-ndjson";
  reply.stream = [job, &client](StreamWriter& writer) {
    const Status done = watch(*job, client, [&](const Json& json) {
      return writer.write(dump(json) + "\n");
    });
    if (!done.ok()) {
      (void)writer.write(dump(error_body(Dialect::native, done.error())) + "\n");
    }
  };
  return reply;
}

}  // namespace glm::api
