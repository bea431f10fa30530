#include "runner/text/json_schema.h"
#include "runner/text/bounded_json.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "runner/text/python_literal.h"
#include "runner/text/tag_text.h"

namespace glm::runner {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kDepthMax = 16;     // of references and combinations
constexpr int kSchemasMax = 512;  // looked at for one parameter

const Json& member(const Json& object, const char* key) {
  static const Json null;
  if (!object.is_object()) return null;
  const auto found = object.find(key);
  return found == object.end() ? null : *found;
}

class TypeReader {
 public:
  explicit TypeReader(const Json& root) : root_(root) {}

  ValueTypes read(const Json& schema) {
    collect(schema, 0);
    return std::move(types_);
  }

 private:
  void collect(const Json& schema, int depth) {
    if (depth > kDepthMax || ++schemas_ > kSchemasMax) return;
    if (const Json& reference = member(schema, "$ref"); reference.is_string()) {
      collect(resolve(reference.get_ref<const std::string&>()), depth + 1);
    }
    const Json& type = member(schema, "type");
    if (type.is_string()) add_name(type.get_ref<const std::string&>());
    if (type.is_array()) {
      for (const Json& name : type) {
        if (name.is_string()) add_name(name.get_ref<const std::string&>());
      }
    }
    if (member(schema, "nullable") == true) types_.null = true;  // OpenAPI's way
    for (const char* key : {"anyOf", "oneOf", "allOf"}) {
      const Json& several = member(schema, key);
      if (!several.is_array()) continue;
      for (const Json& one : several) collect(one, depth + 1);
    }
    if (const Json& values = member(schema, "enum"); values.is_array()) {
      for (const Json& value : values) add_value(value);
    }
    if (schema.is_object() && schema.contains("const")) add_value(schema["const"]);
    if (type.is_null() && member(schema, "properties").is_object()) types_.object = true;
    if (type.is_null() && !member(schema, "items").is_null()) types_.array = true;
  }

  const Json& resolve(const std::string& reference) const {
    static const Json null;
    if (!reference.starts_with("#/")) return null;
    const Json* at = &root_;
    std::string_view path = std::string_view(reference).substr(2);
    while (true) {
      const std::size_t slash = path.find('/');
      at = &member(*at, unescape(path.substr(0, slash)).c_str());
      if (slash == std::string_view::npos) return *at;
      path.remove_prefix(slash + 1);
    }
  }

  // A JSON pointer's "~1" and "~0".
  static std::string unescape(std::string_view part) {
    std::string out;
    for (std::size_t i = 0; i < part.size(); ++i) {
      const bool escape = part[i] == '~' && i + 1 < part.size();
      if (escape) ++i;
      out.push_back(escape ? (part[i] == '1' ? '/' : '~') : part[i]);
    }
    return out;
  }

  void add_name(std::string_view name) {
    if (name == "string") types_.text = true;
    if (name == "integer") types_.integer = true;
    if (name == "number") types_.number = true;
    if (name == "boolean") types_.boolean = true;
    if (name == "null") types_.null = true;
    if (name == "object") types_.object = true;
    if (name == "array") types_.array = true;
  }

  void add_value(const Json& value) {
    if (value.is_string()) {
      types_.text = true;
      types_.texts.push_back(value.get<std::string>());
    } else if (value.is_number_integer()) {
      types_.integer = true;
    } else if (value.is_number()) {
      types_.number = true;
    } else if (value.is_boolean()) {
      types_.boolean = true;
    } else if (value.is_null()) {
      types_.null = true;
    } else if (value.is_object()) {
      types_.object = true;
    } else if (value.is_array()) {
      types_.array = true;
    }
  }

  const Json& root_;
  ValueTypes types_;
  int schemas_ = 0;
};

std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(kTagSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kTagSpace) - first + 1);
}

bool is_word(std::string_view text, std::string_view word) {
  return std::equal(text.begin(), text.end(), word.begin(), word.end(), [](char a, char b) {
    return std::tolower(static_cast<unsigned char>(a)) == b;
  });
}

// The number as it is spelled, if JSON would read it too: 64 bits are not always enough.
std::optional<std::string> number_text(std::string_view text) {
  const auto digits = [&](std::size_t at) {
    while (at < text.size() && text[at] >= '0' && text[at] <= '9') ++at;
    return at;
  };
  const std::size_t first = text.starts_with('-') ? 1 : 0;
  std::size_t at = digits(first);
  if (at == first || (text[first] == '0' && at > first + 1)) return std::nullopt;
  if (at < text.size() && text[at] == '.') {
    const std::size_t fraction = at + 1;
    at = digits(fraction);
    if (at == fraction) return std::nullopt;
  }
  if (at < text.size() && (text[at] == 'e' || text[at] == 'E')) {
    std::size_t exponent = at + 1;
    if (exponent < text.size() && (text[exponent] == '+' || text[exponent] == '-')) ++exponent;
    at = digits(exponent);
    if (at == exponent) return std::nullopt;
  }
  double value = 0;  // what no double holds, JSON readers refuse
  if (at != text.size() ||
      std::from_chars(text.data(), text.data() + at, value).ec != std::errc()) {
    return std::nullopt;
  }
  return std::string(text);
}

// 3, and 3.0 as 3.
std::optional<std::string> integer_text(std::string_view text) {
  auto number = number_text(text);
  if (!number || number->find_first_of("eE") != std::string::npos) return std::nullopt;
  const std::size_t dot = number->find('.');
  if (dot == std::string::npos) return number;
  if (number->find_first_not_of('0', dot + 1) != std::string::npos) return std::nullopt;
  return number->substr(0, dot);
}

std::optional<std::string> container_text(std::string_view text, Json::value_t type) {
  Json parsed = parse_bounded_json(text);
  if (parsed.type() == type) return parsed.dump();
  if (const auto literal = parse_python_literal(text); literal && literal->type() == type) {
    return literal->dump(-1, ' ', false, Json::error_handler_t::replace);
  }
  return std::nullopt;
}

std::string quoted(std::string_view text) {
  return fmt::format("\"{}\"", escape_json(text));
}

// The first type that takes the whole value, if it is not text.
std::optional<std::string> typed(const ValueTypes& types, std::string_view text) {
  if (types.null && (text == "null" || text == "None")) return "null";
  if (types.boolean) {
    if (is_word(text, "true")) return "true";
    if (is_word(text, "false")) return "false";
  }
  if (types.integer) {
    if (auto integer = integer_text(text)) return integer;
  }
  if (types.number) {
    if (auto number = number_text(text)) return number;
  }
  if (types.object) {
    if (auto object = container_text(text, Json::value_t::object)) return object;
  }
  if (types.array) {
    if (auto array = container_text(text, Json::value_t::array)) return array;
  }
  return std::nullopt;
}

}  // namespace

bool ValueTypes::any() const {
  return text || integer || number || boolean || null || object || array;
}

bool ValueTypes::only_text() const {
  return text && !(integer || number || boolean || null || object || array);
}

ParameterSchema::ParameterSchema(const Json& parameters) {
  const Json& properties = member(parameters, "properties");
  if (!properties.is_object()) return;
  for (const auto& [name, schema] : properties.items()) {
    parameters_[name] = TypeReader(parameters).read(schema);
  }
}

bool ParameterSchema::is_text(std::string_view parameter) const {
  const auto found = parameters_.find(parameter);
  return found != parameters_.end() && found->second.only_text();
}

std::string ParameterSchema::to_json(std::string_view parameter, std::string_view value) const {
  const auto found = parameters_.find(parameter);
  const std::string_view text = trimmed(value);
  if (found == parameters_.end() || !found->second.any()) {
    if (auto number = number_text(text)) return *number;
    const Json parsed = parse_bounded_json(text);
    return parsed.is_discarded() ? quoted(value) : parsed.dump();
  }
  const ValueTypes& types = found->second;
  if (std::find(types.texts.begin(), types.texts.end(), value) != types.texts.end()) {
    return quoted(value);
  }
  return typed(types, text).value_or(quoted(value));
}

std::string escape_json(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20) {
          out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
        } else {
          out.push_back(c);
        }
    }
  }
  return out;
}

}  // namespace glm::runner
