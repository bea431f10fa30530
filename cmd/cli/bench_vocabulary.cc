#include "cmd/cli/bench_vocabulary.h"

#include <httplib.h>

#include <nlohmann/json.hpp>

namespace glm::bench {
namespace {

using Json = nlohmann::json;

constexpr std::int64_t kVocabSizeMax = 1 << 24;
constexpr time_t kTimeoutSeconds = 60;

// nullopt for what is not there or cannot be.
std::optional<std::int64_t> size_at(const Json& json, const char* pointer) {
  const Json::json_pointer at(pointer);
  if (!json.contains(at) || !json[at].is_number_integer()) return std::nullopt;
  const auto size = json[at].get<std::int64_t>();
  if (size < 1 || size > kVocabSizeMax) return std::nullopt;
  return size;
}

}  // namespace

Result<std::optional<std::int64_t>> find_vocab_size(const LoadTarget& target,
                                                    const std::string& model) {
  httplib::Client http(target.address.host, target.address.port);
  http.set_connection_timeout(kTimeoutSeconds);
  http.set_read_timeout(kTimeoutSeconds);
  httplib::Headers headers = {{"Host", target.address.authority()}};
  if (!target.api_key.empty()) headers.emplace("Authorization", "Bearer " + target.api_key);
  const std::string question =
      Json{{"model", model}}.dump(-1, ' ', false, Json::error_handler_t::replace);
  const httplib::Result shown = http.Post("/api/show", headers, question, "application/json");
  if (!shown) {
    return make_error(Errc::unavailable,
                      "no server answers at {}; --serve wants the address of one that runs",
                      target.address.str());
  }
  const Json show = Json::parse(shown->body, nullptr, false);
  if (const auto size = size_at(show, "/model_info/vocab_size")) return size;
  if (shown->status == 404 && show.is_object() && show.value("code", Json()) == "not_found") {
    return make_error(Errc::not_found, "{}: {}", target.address.str(), error_message(shown->body));
  }
  const httplib::Result listed = http.Get("/v1/models", headers);
  if (!listed) return std::optional<std::int64_t>();
  return size_at(Json::parse(listed->body, nullptr, false), "/data/0/meta/n_vocab");
}

}  // namespace glm::bench
