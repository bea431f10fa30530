// Reading the parts of a tokenizer.json: every failure names the field.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/result.h"

namespace glm::runner::tokenizing {

using Json = nlohmann::json;

inline constexpr std::int32_t kTokensMax = 4 << 20;

// A member, or null where it is absent.
const Json& member(const Json& object, const char* key);

// The "type" of a component; "(none)" where it has no such string.
std::string type_of(const Json& component);

Result<std::string> text_field(const Json& object, const char* key);
// A text of exactly one character.
Result<std::string> character_field(const Json& object, const char* key);
// A number of things, at most kTokensMax.
Result<std::size_t> count_field(const Json& object, const char* key, std::size_t fallback);
Result<bool> flag_field(const Json& object, const char* key, bool fallback);

// A token id that may become an index.
Result<std::int32_t> id_value(const Json& value);

}  // namespace glm::runner::tokenizing
