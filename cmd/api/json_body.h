// Reading fields of a request body. Errors name the field, what was got and what is wanted.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "cmd/api/reply.h"

namespace glm::api {

// A JSON object, at most kJsonDepthMax deep and with at most kJsonKeysMax keys in one object. An
// empty body is an Errc::invalid_argument.
Result<Json> parse_body(std::string_view body);

inline constexpr int kJsonDepthMax = 128;
inline constexpr std::size_t kJsonKeysMax = 4096;

// Compact, with bytes that are not UTF-8 replaced.
std::string dump(const Json& json);

// Errc::invalid_argument when the field is missing, null, empty or no string.
Result<std::string> required_text(const Json& body, std::string_view field);

// The field 'model', or 'name' as older clients call it.
Result<std::string> model_field(const Json& body);

// nullopt when missing or null; Errc::invalid_argument when of another type.
Result<std::optional<std::string>> text(const Json& body, std::string_view field);
Result<std::optional<bool>> boolean(const Json& body, std::string_view field);
Result<std::optional<double>> number(const Json& body, std::string_view field);
Result<std::optional<std::int64_t>> integer(const Json& body, std::string_view field);

// The field if it is there and not null, else nullptr.
const Json* find(const Json& body, std::string_view field);

// "a string", "an object" …, for messages.
std::string_view kind(const Json& json);

}  // namespace glm::api
