// What an answer of the hub that is no success means, said so that a person can act on it.
#pragma once

#include <string>

#include "base/result.h"
#include "registry/http.h"

namespace glm::registry {

struct HubContext {
  std::string endpoint;    // "https://huggingface.co"
  std::string repository;  // "org/name"
  std::string revision;
  bool has_token = false;
};

// `what` names the request: "GET https://…". Decides by the hub's error headers first, then by the
// status; Errc::unavailable where trying again may help.
Error hub_error(const HubContext& context, const std::string& what, const HttpResponse& response);

}  // namespace glm::registry
