#include "cmd/api/routes.h"

#include <array>
#include <nlohmann/json.hpp>
#include <vector>

#include "base/spelling.h"
#include "cmd/api/native_chat.h"
#include "cmd/api/native_models.h"
#include "cmd/api/openai_chat.h"
#include "cmd/api/openai_completions.h"
#include "cmd/outcome.h"

namespace glm::api {
namespace {

constexpr std::array<Route, 19> kRoutes = {{
    {"POST", "/api/chat", &native_chat, true},
    {"POST", "/api/generate", &native_generate, true},
    {"GET", "/api/tags", &tags, false},
    {"GET", "/api/catalog", &catalog, false},
    {"POST", "/api/show", &show, true},
    {"GET", "/api/ps", &ps, false},
    {"POST", "/api/pull", &pull, true},
    {"POST", "/api/copy", &copy, true},
    {"DELETE", "/api/delete", &remove, true},
    {"GET", "/api/version", &version, false},
    {"POST", "/api/shutdown", &shutdown, false},
    {"GET", "/health", &health, false},
    {"GET", "/ready", &ready, false},
    {"GET", "/metrics", &metrics, false},
    {"GET", "/", &greeting, false},
    {"POST", "/v1/chat/completions", &openai_chat, true},
    {"POST", "/v1/completions", &openai_completions, true},
    {"GET", "/v1/models", &openai_models, false},
    {"GET", "/v1/models/*", &openai_model, false},
}};

std::string_view openai_type(int http_status) {
  if (http_status == 404) return "not_found_error";
  if (http_status >= 400 && http_status < 500) return "invalid_request_error";
  return "api_error";
}

}  // namespace

std::span<const Route> routes() {
  return kRoutes;
}

std::string_view rest_of(const Route& route, std::string_view path) {
  if (!route.path.ends_with("/*")) return {};
  const std::string_view folder = route.path.substr(0, route.path.size() - 1);
  return path.starts_with(folder) ? path.substr(folder.size()) : std::string_view();
}

bool matches(const Route& route, std::string_view path) {
  return route.path == path || !rest_of(route, path).empty();
}

std::string path_hint(std::string_view path) {
  while (path.ends_with('/')) path.remove_suffix(1);
  while (path.starts_with("//")) path.remove_prefix(1);
  std::vector<std::string_view> paths;
  for (const Route& route : kRoutes) {
    if (route.path.size() > 1 && !route.path.ends_with("/*")) paths.push_back(route.path);
  }
  std::string_view best;  // the shortest: "/completions" is not those of chats
  for (const std::string_view known : paths) {
    if (path.size() <= 1 || !(known.ends_with(path) || path.ends_with(known))) continue;
    if (best.empty() || known.size() < best.size()) best = known;
  }
  if (!best.empty()) return fmt::format("; did you mean '{}'?", best);
  return did_you_mean(path, paths);
}

Json error_body(Dialect dialect, const Error& error) {
  if (dialect == Dialect::native) {
    return {{"error", error.message}, {"code", name(error.code)}};
  }
  return {{"error",
           {{"message", error.message},
            {"type", openai_type(outcome(error.code).http_status)},
            {"param", nullptr},
            {"code", name(error.code)}}}};
}

}  // namespace glm::api
