// What a tool's JSON schema says about its parameters, as far as it decides how to read a value
// that a model wrote without quotes.
#pragma once

#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace glm::runner {

struct ValueTypes {
  bool text = false, integer = false, number = false, boolean = false, null = false, object = false,
       array = false;
  std::vector<std::string> texts;  // of an enum or const: these are meant literally

  bool any() const;
  bool only_text() const;
};

// Thread safety: immutable.
class ParameterSchema {
 public:
  ParameterSchema() = default;
  // Resolves local $ref, anyOf, oneOf, allOf, lists of types, enum and const. What it does not
  // understand it ignores: a schema comes from a client and is never an error here.
  explicit ParameterSchema(const nlohmann::ordered_json& parameters);

  // Text values can be passed on as they come; others are read when they are complete.
  bool is_text(std::string_view parameter) const;

  // The value as JSON text. A type other than text counts only if all of the value is of it;
  // text stays exactly as it is; without a known type: JSON if it is JSON, else text.
  std::string to_json(std::string_view parameter, std::string_view value) const;

 private:
  std::map<std::string, ValueTypes, std::less<>> parameters_;
};

// The inside of a JSON string.
std::string escape_json(std::string_view text);

}  // namespace glm::runner
