#include "cmd/api/json_body.h"

#include <cmath>
#include <vector>

#include "cmd/api/json_error.h"

namespace glm::api {
namespace {

Error wrong_kind(std::string_view field, std::string_view wanted, const Json& got) {
  return make_error(Errc::invalid_argument, "field '{}' wants {}, got {}", field, wanted,
                    kind(got));
}

}  // namespace

Reply json_reply(const Json& json) {
  Reply reply;
  reply.body = dump(json);
  return reply;
}

std::string dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string_view kind(const Json& json) {
  switch (json.type()) {
    case Json::value_t::null: return "null";
    case Json::value_t::object: return "an object";
    case Json::value_t::array: return "a list";
    case Json::value_t::string: return "a string";
    case Json::value_t::boolean: return "true or false";
    case Json::value_t::number_integer:
    case Json::value_t::number_unsigned: return "an integer";
    case Json::value_t::number_float: return "a number";
    default: return "something else";
  }
}

Result<Json> parse_body(std::string_view body) {
  if (body.find_first_not_of(" \t\r\n") == std::string_view::npos) {
    return make_error(Errc::invalid_argument, "missing request body: a JSON object is wanted");
  }
  // Objects keep their order in a list, so that keys by the thousand would cost their square.
  std::vector<std::size_t> keys;
  bool too_deep = false;
  bool too_many = false;
  const auto limit = [&](int depth, Json::parse_event_t event, Json&) {
    too_deep |= depth > kJsonDepthMax;
    if (event == Json::parse_event_t::object_start) keys.push_back(0);
    if (event == Json::parse_event_t::object_end && !keys.empty()) keys.pop_back();
    if (event == Json::parse_event_t::key) too_many |= ++keys.back() > kJsonKeysMax;
    return !too_deep && !too_many;
  };
  Json json = Json::parse(body, limit, false);
  if (too_deep) {
    return make_error(Errc::invalid_argument, "request body is nested deeper than {} levels",
                      kJsonDepthMax);
  }
  if (too_many) {
    return make_error(Errc::invalid_argument, "request body has an object of more than {} keys",
                      kJsonKeysMax);
  }
  if (json.is_discarded()) {
    return make_error(Errc::invalid_argument, "request body is not valid JSON: {}",
                      json_error(body));
  }
  if (!json.is_object()) {
    return make_error(Errc::invalid_argument, "request body wants a JSON object, got {}",
                      kind(json));
  }
  return json;
}

const Json* find(const Json& body, std::string_view field) {
  const auto it = body.find(field);
  return it == body.end() || it->is_null() ? nullptr : &*it;
}

Result<std::optional<std::string>> text(const Json& body, std::string_view field) {
  const Json* value = find(body, field);
  if (value == nullptr) return std::optional<std::string>();
  if (!value->is_string()) return wrong_kind(field, "a string", *value);
  return std::optional<std::string>(value->get<std::string>());
}

Result<std::string> required_text(const Json& body, std::string_view field) {
  auto value = GLM_TRY(text(body, field));
  if (!value || value->empty()) {
    return make_error(Errc::invalid_argument, "{} is required", field);
  }
  return *std::move(value);
}

Result<std::string> model_field(const Json& body) {
  if (find(body, "model") == nullptr && find(body, "name") != nullptr) {
    return required_text(body, "name");
  }
  return required_text(body, "model");
}

Result<std::optional<bool>> boolean(const Json& body, std::string_view field) {
  const Json* value = find(body, field);
  if (value == nullptr) return std::optional<bool>();
  if (!value->is_boolean()) return wrong_kind(field, "true or false", *value);
  return std::optional<bool>(value->get<bool>());
}

Result<std::optional<double>> number(const Json& body, std::string_view field) {
  const Json* value = find(body, field);
  if (value == nullptr) return std::optional<double>();
  if (!value->is_number()) return wrong_kind(field, "a number", *value);
  return std::optional<double>(value->get<double>());
}

Result<std::optional<std::int64_t>> integer(const Json& body, std::string_view field) {
  const Json* value = find(body, field);
  if (value == nullptr) return std::optional<std::int64_t>();
  if (value->is_number_integer()) return std::optional<std::int64_t>(value->get<std::int64_t>());
  // Clients that keep all numbers as doubles send 5.0.
  if (value->is_number_float()) {
    const double number = value->get<double>();
    if (std::floor(number) == number && std::abs(number) < 9e15) {
      return std::optional<std::int64_t>(static_cast<std::int64_t>(number));
    }
  }
  return wrong_kind(field, "an integer", *value);
}

}  // namespace glm::api
