#include "registry/hub_options.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <utility>

#include "base/paths.h"
#include "registry/http.h"
#include "registry/redact.h"

namespace glm::registry {
namespace {

std::string trim(std::string text) {
  const auto blank = [](char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; };
  while (!text.empty() && blank(text.back())) text.pop_back();
  text.erase(text.begin(), std::find_if_not(text.begin(), text.end(), blank));
  return text;
}

bool is_true(const char* variable) {
  std::string value = env_or_empty(variable);
  std::transform(value.begin(), value.end(), value.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return value == "1" || value == "ON" || value == "YES" || value == "TRUE";
}

std::filesystem::path token_file() {
  if (const std::string path = env_or_empty("HF_TOKEN_PATH"); !path.empty()) return path;
  if (const std::string home = env_or_empty("HF_HOME"); !home.empty()) {
    return std::filesystem::path(home) / "token";
  }
  if (const std::string cache = env_or_empty("XDG_CACHE_HOME"); !cache.empty()) {
    return std::filesystem::path(cache) / "huggingface" / "token";
  }
  return std::filesystem::path(env_or_empty("HOME")) / ".cache" / "huggingface" / "token";
}

std::string find_token() {
  for (const char* variable : {"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"}) {
    if (std::string token = trim(env_or_empty(variable)); !token.empty()) return token;
  }
  if (is_true("HF_HUB_DISABLE_IMPLICIT_TOKEN")) return "";
  return trim(read_file(token_file(), 64 << 10).value_or(""));
}

}  // namespace

Result<HubOptions> hub_options_from_environment() {
  HubOptions options;
  if (std::string endpoint = env_or_empty("HF_ENDPOINT"); !endpoint.empty()) {
    while (endpoint.ends_with('/')) endpoint.pop_back();
    options.endpoint = std::move(endpoint);
  }
  const bool is_http =
      options.endpoint.starts_with("http://") || options.endpoint.starts_with("https://");
  if (!is_http || !origin_of(options.endpoint).ok()) {
    return make_error(Errc::invalid_argument,
                      "HF_ENDPOINT '{}' wants an address that begins with https:// or http:// (a "
                      "daemon keeps what it was started with: glm stop --all)",
                      redact_url(options.endpoint));
  }
  options.token = find_token();
  const bool plain = std::all_of(options.token.begin(), options.token.end(),
                                 [](unsigned char c) { return c > 0x20 && c < 0x7F; });
  if (!plain) {
    return make_error(Errc::invalid_argument,
                      "the hub token has blanks or control characters inside; check HF_TOKEN");
  }
  options.offline = is_true("HF_HUB_OFFLINE") || is_true("TRANSFORMERS_OFFLINE");
  return options;
}

}  // namespace glm::registry
