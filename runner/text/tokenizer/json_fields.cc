#include "runner/text/tokenizer/json_fields.h"

#include "runner/text/utf8.h"

namespace glm::runner::tokenizing {

const Json& member(const Json& object, const char* key) {
  static const Json null;
  if (!object.is_object()) return null;
  const auto found = object.find(key);
  return found == object.end() ? null : *found;
}

std::string type_of(const Json& component) {
  const Json& type = member(component, "type");
  return type.is_string() ? type.get<std::string>() : "(none)";
}

Result<std::string> text_field(const Json& object, const char* key) {
  const Json& value = member(object, key);
  if (!value.is_string()) {
    return make_error(Errc::corrupt, "{} is {}, wanted a string", key,
                      value.is_null() ? "missing" : value.type_name());
  }
  return value.get<std::string>();
}

Result<std::string> character_field(const Json& object, const char* key) {
  std::string text = GLM_TRY(text_field(object, key));
  if (text.empty() || utf8_character(text, 0).length_bytes != text.size()) {
    return make_error(Errc::corrupt, "{} is '{}', wanted one character", key, text);
  }
  return text;
}

Result<std::size_t> count_field(const Json& object, const char* key, std::size_t fallback) {
  const Json& value = member(object, key);
  if (value.is_null()) return fallback;
  if (!value.is_number_unsigned() ||
      value.get<std::uint64_t>() > static_cast<std::uint64_t>(kTokensMax)) {
    return make_error(Errc::corrupt, "{} is {}, wanted a number in [0, {}]", key, value.dump(),
                      kTokensMax);
  }
  return value.get<std::size_t>();
}

Result<bool> flag_field(const Json& object, const char* key, bool fallback) {
  const Json& value = member(object, key);
  if (value.is_null()) return fallback;
  if (!value.is_boolean()) {
    return make_error(Errc::corrupt, "{} is a {}, wanted true or false", key, value.type_name());
  }
  return value.get<bool>();
}

Result<std::int32_t> id_value(const Json& value) {
  if (!value.is_number_integer()) {
    return make_error(Errc::corrupt, "a token id is a {}, wanted an integer", value.type_name());
  }
  // Negative numbers become huge ones here, and are refused with them.
  const auto id = value.get<std::uint64_t>();
  if (id >= static_cast<std::uint64_t>(kTokensMax)) {
    return make_error(Errc::exhausted, "token id {} is outside [0, {})", value.dump(), kTokensMax);
  }
  return static_cast<std::int32_t>(id);
}

}  // namespace glm::runner::tokenizing
