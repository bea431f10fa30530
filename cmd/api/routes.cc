#include "cmd/api/routes.h"

#include <array>
#include <nlohmann/json.hpp>

#include "cmd/api/native_chat.h"
#include "cmd/api/native_models.h"
#include "cmd/api/openai_chat.h"
#include "cmd/outcome.h"

namespace glm::api {
namespace {

constexpr std::array<Route, 14> kRoutes = {{
    {"POST", "/api/chat", Dialect::native, &native_chat, true},
    {"POST", "/api/generate", Dialect::native, &native_generate, true},
    {"GET", "/api/tags", Dialect::native, &tags, false},
    {"POST", "/api/show", Dialect::native, &show, true},
    {"GET", "/api/ps", Dialect::native, &ps, false},
    {"POST", "/api/pull", Dialect::native, &pull, true},
    {"POST", "/api/copy", Dialect::native, &copy, true},
    {"DELETE", "/api/delete", Dialect::native, &remove, true},
    {"GET", "/api/version", Dialect::native, &version, false},
    {"POST", "/api/shutdown", Dialect::native, &shutdown, false},
    {"GET", "/health", Dialect::native, &health, false},
    {"GET", "/", Dialect::native, &greeting, false},
    {"POST", "/v1/chat/completions", Dialect::openai, &openai_chat, true},
    {"GET", "/v1/models", Dialect::openai, &openai_models, false},
}};

std::string_view openai_type(int http_status) {
  if (http_status == 404) return "not_found_error";
  if (http_status >= 400 && http_status < 500) return "invalid_request_error";
  return "api_error";
}

}  // namespace

std::span<const Route> routes() { return kRoutes; }

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
