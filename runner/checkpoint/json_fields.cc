#include "runner/checkpoint/json_fields.h"

#include <limits>

#include "runner/checkpoint/json_bounds.h"

namespace glm::runner {
namespace {

std::optional<std::int64_t> as_integer(const nlohmann::json& value) {
  if (value.is_number_unsigned()) {
    const auto number = value.get<std::uint64_t>();
    if (number > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) return {};
    return static_cast<std::int64_t>(number);
  }
  if (value.is_number_integer()) return value.get<std::int64_t>();
  return {};
}

}  // namespace

std::string shown(const nlohmann::json& value) {
  constexpr std::size_t kLengthMax = 60;
  if (value.is_structured() && value.size() > 8) {
    return fmt::format("{} of {} entries", value.is_array() ? "an array" : "an object",
                       value.size());
  }
  std::string text = value.dump(-1, ' ', true);  // ASCII: cutting it splits no character
  if (text.size() > kLengthMax) text = text.substr(0, kLengthMax) + "...";
  return text;
}

std::string printable(std::string_view text) {
  constexpr std::size_t kLengthMax = 120;
  std::string escaped = nlohmann::json(std::string(text.substr(0, kLengthMax)))
                            .dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
  escaped = escaped.substr(1, escaped.size() - 2);  // the quotes
  const bool cut = text.size() > kLengthMax || escaped.size() > kLengthMax;
  return cut ? escaped.substr(0, kLengthMax) + "..." : escaped;
}

Result<JsonFields> JsonFields::parse(std::string_view text, std::string prefix) {
  GLM_TRY(check_json_bounds(text, {}).with(prefix));
  auto parsed = nlohmann::json::parse(text, nullptr, false);
  if (parsed.is_discarded()) return make_error(Errc::corrupt, "{}: not valid JSON", prefix);
  if (!parsed.is_object()) {
    return make_error(Errc::corrupt, "{}: got {}, wanted a JSON object", prefix, shown(parsed));
  }
  return JsonFields(std::move(parsed), std::move(prefix));
}

const nlohmann::json* JsonFields::find(const std::string& name) const {
  const auto found = object_.find(name);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

Error JsonFields::wrong(const std::string& name, std::string_view wanted) const {
  const nlohmann::json* value = find(name);
  if (value == nullptr) return make_error(Errc::corrupt, "{}: {} is missing", prefix_, name);
  return make_error(Errc::corrupt, "{}: {}: got {}, wanted {}", prefix_, name, shown(*value),
                    wanted);
}

Result<std::int64_t> JsonFields::integer(const std::string& name, IntegerRange range,
                                         std::optional<std::int64_t> fallback) const {
  const nlohmann::json* value = find(name);
  if (value == nullptr && fallback) return *fallback;
  const std::optional<std::int64_t> number = value == nullptr ? std::nullopt : as_integer(*value);
  if (!number || *number < range.min || *number > range.max) {
    return wrong(name, fmt::format("an integer from {} to {}", range.min, range.max));
  }
  return *number;
}

Result<double> JsonFields::number(const std::string& name, NumberRange range,
                                  std::optional<double> fallback) const {
  const nlohmann::json* value = find(name);
  if (value == nullptr && fallback) return *fallback;
  const bool fits = value != nullptr && value->is_number() && value->get<double>() >= range.min &&
                    value->get<double>() <= range.max;
  if (!fits) return wrong(name, fmt::format("a number from {} to {}", range.min, range.max));
  return value->get<double>();
}

Result<bool> JsonFields::boolean(const std::string& name, std::optional<bool> fallback) const {
  const nlohmann::json* value = find(name);
  if (value == nullptr && fallback) return *fallback;
  if (value == nullptr || !value->is_boolean()) return wrong(name, "true or false");
  return value->get<bool>();
}

Result<std::string> JsonFields::text(const std::string& name,
                                     std::optional<std::string> fallback) const {
  const nlohmann::json* value = find(name);
  if (value == nullptr && fallback) return *std::move(fallback);
  if (value == nullptr || !value->is_string()) return wrong(name, "a string");
  return value->get<std::string>();
}

Result<std::optional<JsonFields>> JsonFields::object(const std::string& name) const {
  const nlohmann::json* value = find(name);
  if (value == nullptr) return std::optional<JsonFields>();
  if (!value->is_object()) return wrong(name, "an object");
  return std::optional<JsonFields>(JsonFields(*value, fmt::format("{}: {}", prefix_, name)));
}

Result<std::vector<std::int32_t>> token_ids(const JsonFields& fields, const std::string& name) {
  constexpr std::string_view kWanted = "a token id or a list of up to 64 token ids";
  const nlohmann::json* value = fields.find(name);
  std::vector<std::int32_t> ids;
  if (value == nullptr) return ids;
  const nlohmann::json list = value->is_array() ? *value : nlohmann::json::array({*value});
  if (list.size() > 64) return fields.wrong(name, kWanted);
  for (const nlohmann::json& item : list) {
    const std::optional<std::int64_t> id = as_integer(item);
    if (!id || *id < 0 || *id > std::numeric_limits<std::int32_t>::max()) {
      return fields.wrong(name, kWanted);
    }
    ids.push_back(static_cast<std::int32_t>(*id));
  }
  return ids;
}

}  // namespace glm::runner
