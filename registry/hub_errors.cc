#include "registry/hub_errors.h"

#include <nlohmann/json.hpp>

#include "registry/redact.h"
#include "registry/retry.h"

namespace glm::registry {
namespace {

constexpr std::string_view kBadToken = "Invalid credentials in Authorization header";
constexpr std::string_view kDisabled = "Access to this resource is disabled.";

// The server's own words, if they are JSON; bounded.
std::string words_of(const HttpResponse& response) {
  std::string words = response.header("x-error-message");
  if (words.empty()) {
    const auto json = nlohmann::json::parse(response.body, nullptr, false);
    if (json.is_object() && json.contains("error") && json["error"].is_string()) {
      words = json["error"].get<std::string>();
    }
  }
  return printable(words.substr(0, 300));
}

}  // namespace

Error hub_error(const HubContext& context, const std::string& what, const HttpResponse& response) {
  const std::string code = response.header("x-error-code");
  const std::string words = words_of(response);
  const std::string page = context.endpoint + "/" + context.repository;
  const long status = response.status;
  if (code == "RevisionNotFound") {
    return make_error(Errc::not_found, "{} has no branch, tag or commit '{}'", context.repository,
                      context.revision);
  }
  if (code == "EntryNotFound") {
    return make_error(Errc::not_found, "{}: the repository has no such file", what);
  }
  if (code == "GatedRepo") {
    return make_error(Errc::permission,
                      "{} is gated: accept its terms at {}, then set HF_TOKEN to a token of that "
                      "account and `glm stop --all`{}",
                      context.repository, page,
                      context.has_token ? " (the token in use has no access)" : "");
  }
  if (words == kDisabled) {
    return make_error(Errc::permission, "{} has been disabled by the hub", context.repository);
  }
  if (status == 401 && words == kBadToken) {
    return make_error(Errc::permission,
                      "the hub refuses the token; set HF_TOKEN to a valid one, or unset it");
  }
  if (code == "RepoNotFound" || status == 401) {
    return make_error(Errc::not_found,
                      "{} does not exist on {}, or is private{}; check the spelling{}",
                      context.repository, context.endpoint,
                      context.has_token ? " and the token in use may not see it" : "",
                      context.has_token ? "" : ", or set HF_TOKEN for a private repository (and `glm stop --all`: the daemon reads it when "
                      "it starts)");
  }
  const std::string detail = words.empty() ? "" : ": " + words;
  if (status == 403) {
    return make_error(Errc::permission, "{} answered 403{}", what, detail);
  }
  if (status == 404) {
    return make_error(Errc::not_found, "{} answered 404{}", what, detail);
  }
  if (status == 407) {
    return make_error(Errc::permission, "{}: the proxy wants credentials (407)", what);
  }
  if (is_transient(status)) {
    return make_error(Errc::unavailable, "{} answered {}{}", what, status, detail);
  }
  return make_error(Errc::corrupt, "{} answered {}{}", what, status, detail);
}

}  // namespace glm::registry
