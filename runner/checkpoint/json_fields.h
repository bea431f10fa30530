// Typed, bounded access to the fields of a JSON object, with errors that name file and field:
// `config.json: hidden_size: got "big", wanted an integer from 1 to 65536`.
//
// For .cc files of this folder only: it brings the whole JSON library.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace glm::runner {

struct IntegerRange {
  std::int64_t min = 0;
  std::int64_t max = 0;
};
struct NumberRange {
  double min = 0;
  double max = 0;
};

class JsonFields {
 public:
  // Errc::corrupt if the text is not a JSON object. `prefix` is how messages begin: "config.json".
  static Result<JsonFields> parse(std::string_view text, std::string prefix);
  JsonFields(nlohmann::json object, std::string prefix)
      : object_(std::move(object)), prefix_(std::move(prefix)) {}

  const nlohmann::json& json() const { return object_; }
  const std::string& prefix() const { return prefix_; }

  // Null counts as absent everywhere.
  const nlohmann::json* find(const std::string& name) const;
  bool has(const std::string& name) const { return find(name) != nullptr; }

  // Absent without a fallback: Errc::corrupt.
  Result<std::int64_t> integer(const std::string& name, IntegerRange range,
                               std::optional<std::int64_t> fallback = {}) const;
  Result<double> number(const std::string& name, NumberRange range,
                        std::optional<double> fallback = {}) const;
  Result<bool> boolean(const std::string& name, std::optional<bool> fallback = {}) const;
  Result<std::string> text(const std::string& name, std::optional<std::string> fallback = {}) const;

  // An object below this one; no value if absent.
  Result<std::optional<JsonFields>> object(const std::string& name) const;

  Error wrong(const std::string& name, std::string_view wanted) const;

 private:
  nlohmann::json object_;
  std::string prefix_;
};

// `"abc"`, `[1,2,…`: a value as a message shows it.
std::string shown(const nlohmann::json& value);

// Text from a file as a message may hold it: ASCII, escaped where it is more, cut where it is long.
std::string printable(std::string_view text);

// The keys of the first object called `name` in a JSON text, in the order of the file, which a parsed
// object does not keep. Empty if there is none.
std::vector<std::string> key_order(std::string_view text, std::string_view name);

// An id or a list of ids; empty if absent.
Result<std::vector<std::int32_t>> token_ids(const JsonFields& fields, const std::string& name);

}  // namespace glm::runner
