#include "base/option_table.h"

#include <charconv>
#include <cmath>
#include <system_error>
#include <utility>

#include "base/check.h"
#include "base/paths.h"
#include "base/spelling.h"

namespace glm {
namespace {

constexpr double kInt64Edge = 9223372036854775808.0;  // 2^63: the first double that does not fit

std::string_view article_and_type(const OptionRow& row) {
  switch (row.type) {
    case OptionType::integer:
      return "a whole number";
    case OptionType::number:
      return "a number";
    case OptionType::boolean:
      return "true or false";
    case OptionType::text:
    case OptionType::texts:
      return "a text";
  }
  return "a value";
}

std::string shown(const OptionValue& value) {
  struct Show {
    std::string operator()(std::int64_t v) const { return fmt::format("{}", v); }
    std::string operator()(double v) const { return fmt::format("{}", v); }
    std::string operator()(bool v) const { return v ? "true" : "false"; }
    std::string operator()(const std::string& v) const { return fmt::format("'{}'", v); }
    std::string operator()(const std::vector<std::string>&) const { return "a list of texts"; }
  };
  return std::visit(Show{}, value);
}

Error refused(const OptionRow& row, std::string_view got) {
  const std::string range = OptionTable::range_text(row);
  if (!row.choices.empty()) {
    return make_error(Errc::invalid_argument, "{} wants {}, got {}", row.name, range, got);
  }
  const bool preposition = !range.empty() && range[0] == '[';
  return make_error(Errc::invalid_argument, "{} wants {}{}{}, got {}", row.name,
                    article_and_type(row),
                    range.empty() ? ""
                    : preposition ? " in "
                                  : " of ",
                    range, got);
}

bool is_choice(std::string_view choices, std::string_view value) {
  while (true) {
    const std::size_t bar = choices.find('|');
    if (choices.substr(0, bar) == value) return true;
    if (bar == std::string_view::npos) return false;
    choices.remove_prefix(bar + 1);
  }
}

std::vector<std::string_view> names_of(std::span<const OptionRow> rows) {
  std::vector<std::string_view> names;
  for (const OptionRow& row : rows) names.push_back(row.name);
  return names;
}

}  // namespace

std::string_view name(OptionOrigin origin) {
  switch (origin) {
    case OptionOrigin::fallback:
      return "default";
    case OptionOrigin::preset:
      return "preset";
    case OptionOrigin::modelfile:
      return "Modelfile";
    case OptionOrigin::config_file:
      return "configuration file";
    case OptionOrigin::environment:
      return "environment";
    case OptionOrigin::request:
      return "request";
    case OptionOrigin::flag:
      return "flag";
  }
  return "unknown";
}

OptionTable::OptionTable(std::span<const OptionRow> rows) : rows_(rows) {
  for (const OptionRow& row : rows_) {
    GLM_CHECK(find(row.name) == &row);  // names are unique
    GLM_CHECK(row.fallback.empty() || parse(row, row.fallback).ok());
  }
}

const OptionRow* OptionTable::find(std::string_view name) const {
  for (const OptionRow& row : rows_) {
    if (row.name == name) return &row;
  }
  return nullptr;
}

Result<const OptionRow*> OptionTable::require(std::string_view name) const {
  if (const OptionRow* row = find(name)) return row;
  return make_error(Errc::invalid_argument, "there is no option '{}'{}", name,
                    did_you_mean(name, names_of(rows_)));
}

std::string OptionTable::range_text(const OptionRow& row) {
  if (!row.choices.empty()) {
    std::string text;
    std::string_view rest = row.choices;
    while (true) {
      const std::size_t bar = rest.find('|');
      text += rest.substr(0, bar);
      if (bar == std::string_view::npos) return text;
      rest.remove_prefix(bar + 1);
      text += rest.find('|') == std::string_view::npos ? " or " : ", ";
    }
  }
  if (row.type != OptionType::integer && row.type != OptionType::number) return {};
  const bool low = std::isfinite(row.min), high = std::isfinite(row.max);
  if (low && high) return fmt::format("[{:.15g}, {:.15g}]", row.min, row.max);
  if (low) return fmt::format("at least {:.15g}", row.min);
  if (high) return fmt::format("at most {:.15g}", row.max);
  return {};
}

Result<OptionValue> OptionTable::parse(const OptionRow& row, std::string_view text) {
  const auto bad = [&] { return refused(row, fmt::format("'{}'", text)); };
  const char* const end = text.data() + text.size();
  switch (row.type) {
    case OptionType::integer: {
      std::int64_t value = 0;
      const auto [stop, failure] = std::from_chars(text.data(), end, value);
      if (failure != std::errc() || stop != end) return bad();
      Result<OptionValue> checked = check(row, value);
      if (!checked.ok()) return bad();  // which shows the text as it was written
      return checked;
    }
    case OptionType::number: {
      double value = 0;
      const auto [stop, failure] = std::from_chars(text.data(), end, value);
      if (failure != std::errc() || stop != end) return bad();
      Result<OptionValue> checked = check(row, value);
      if (!checked.ok()) return bad();  // which shows the text as it was written
      return checked;
    }
    case OptionType::boolean: {
      for (const std::string_view yes : {"true", "on", "yes", "1"}) {
        if (text == yes) return OptionValue(true);
      }
      for (const std::string_view no : {"false", "off", "no", "0"}) {
        if (text == no) return OptionValue(false);
      }
      return bad();
    }
    case OptionType::text:
      return check(row, std::string(text));
    case OptionType::texts:
      return OptionValue(std::vector<std::string>{std::string(text)});
  }
  return bad();
}

Result<OptionValue> OptionTable::check(const OptionRow& row, OptionValue value) {
  const auto bad = [&] { return refused(row, shown(value)); };
  switch (row.type) {
    case OptionType::integer: {
      if (const double* number = std::get_if<double>(&value)) {
        const bool whole = std::isfinite(*number) && std::trunc(*number) == *number &&
                           *number >= -kInt64Edge && *number < kInt64Edge;
        if (!whole) return bad();
        value = static_cast<std::int64_t>(*number);
      }
      const std::int64_t* whole = std::get_if<std::int64_t>(&value);
      if (whole == nullptr) return bad();
      const auto rounded = static_cast<double>(*whole);
      if (rounded < row.min || rounded > row.max) return bad();
      return value;
    }
    case OptionType::number: {
      if (const std::int64_t* whole = std::get_if<std::int64_t>(&value)) {
        value = static_cast<double>(*whole);
      }
      const double* number = std::get_if<double>(&value);
      if (number == nullptr || !std::isfinite(*number)) return bad();
      if (*number < row.min || *number > row.max) return bad();
      return value;
    }
    case OptionType::boolean:
      if (!std::holds_alternative<bool>(value)) return bad();
      return value;
    case OptionType::text: {
      const std::string* text = std::get_if<std::string>(&value);
      if (text == nullptr) return bad();
      if (!row.choices.empty() && !is_choice(row.choices, *text)) return bad();
      return value;
    }
    case OptionType::texts: {
      if (std::string* text = std::get_if<std::string>(&value)) {
        value = std::vector<std::string>{std::move(*text)};
      }
      if (!std::holds_alternative<std::vector<std::string>>(value)) return bad();
      return value;
    }
  }
  return bad();
}

OptionSet::OptionSet(const OptionTable& table) : table_(table) {
  for (const OptionRow& row : table_.rows()) {
    if (row.fallback.empty()) continue;
    keep(row, std::move(OptionTable::parse(row, row.fallback)).value(), OptionOrigin::fallback);
  }
}

void OptionSet::keep(const OptionRow& row, OptionValue value, OptionOrigin origin) {
  const auto found = entries_.find(row.name);
  if (found == entries_.end()) {
    entries_.emplace(row.name, Entry{std::move(value), origin});
    return;
  }
  Entry& entry = found->second;
  if (origin < entry.origin) return;
  if (origin == entry.origin && row.type == OptionType::texts) {
    auto& all = std::get<std::vector<std::string>>(entry.value);
    for (std::string& text : std::get<std::vector<std::string>>(value)) {
      all.push_back(std::move(text));
    }
    return;
  }
  entry = Entry{std::move(value), origin};
}

Status OptionSet::set_text(std::string_view option, std::string_view text, OptionOrigin origin,
                           std::string_view where) {
  const std::string_view place = where.empty() ? name(origin) : where;
  const OptionRow* row = GLM_TRY(table_.require(option).with(place));
  keep(*row, GLM_TRY(OptionTable::parse(*row, text).with(place)), origin);
  return Ok{};
}

Status OptionSet::set(std::string_view option, OptionValue value, OptionOrigin origin,
                      std::string_view where) {
  const std::string_view place = where.empty() ? name(origin) : where;
  const OptionRow* row = GLM_TRY(table_.require(option).with(place));
  keep(*row, GLM_TRY(OptionTable::check(*row, std::move(value)).with(place)), origin);
  return Ok{};
}

Status OptionSet::read_environment() {
  for (const OptionRow& row : table_.rows()) {
    if (row.env.empty()) continue;
    const std::string text = env_or_empty(std::string(row.env).c_str());
    if (text.empty()) continue;
    GLM_TRY(set_text(row.name, text, OptionOrigin::environment,
                     fmt::format("environment variable {}", row.env)));
  }
  return Ok{};
}

template <typename T>
std::optional<T> OptionSet::get(std::string_view option) const {
  GLM_CHECK(table_.find(option) != nullptr);
  const auto found = entries_.find(option);
  if (found == entries_.end()) return std::nullopt;
  const T* value = std::get_if<T>(&found->second.value);
  GLM_CHECK(value != nullptr);
  return *value;
}

std::optional<std::int64_t> OptionSet::integer(std::string_view option) const {
  return get<std::int64_t>(option);
}
std::optional<double> OptionSet::number(std::string_view option) const {
  return get<double>(option);
}
std::optional<bool> OptionSet::boolean(std::string_view option) const {
  return get<bool>(option);
}
std::optional<std::string> OptionSet::text(std::string_view option) const {
  return get<std::string>(option);
}
std::vector<std::string> OptionSet::texts(std::string_view option) const {
  return get<std::vector<std::string>>(option).value_or(std::vector<std::string>{});
}

std::optional<OptionOrigin> OptionSet::origin(std::string_view option) const {
  GLM_CHECK(table_.find(option) != nullptr);
  const auto found = entries_.find(option);
  if (found == entries_.end()) return std::nullopt;
  return found->second.origin;
}

}  // namespace glm
