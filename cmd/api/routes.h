// The API at a glance: every path the daemon answers, as rows.
#pragma once

#include <span>
#include <string_view>

#include "cmd/api/reply.h"

namespace glm {
struct Services;
}

namespace glm::api {

// Decides the shape of error bodies.
enum class Dialect { native, openai };

struct Route {
  std::string_view method;
  std::string_view path;  // one that ends in "/*" stands for all that begin so, with something more
  Result<Reply> (*handle)(Services& services, const Json& body, const Client& client);
  bool wants_body;
};

std::span<const Route> routes();

bool matches(const Route& route, std::string_view path);

// What stands in the place of the "*"; the handler finds it in its body as "path".
std::string_view rest_of(const Route& route, std::string_view path);

// "; did you mean '/v1/chat/completions'?" for a path that no route has, or nothing: its beginning
// is missing or there twice, a slash ends it, or a letter is wrong.
std::string path_hint(std::string_view path);

// {"error": "…"} or {"error": {"message", "type", "param", "code"}}.
Json error_body(Dialect dialect, const Error& error);

}  // namespace glm::api
