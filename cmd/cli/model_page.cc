#include "cmd/cli/model_page.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "base/spelling.h"
#include "base/units.h"
#include "cmd/cli/cli.h"
#include "cmd/cli/terminal.h"

namespace glm {
namespace {

constexpr int kLicenseLinesMax = 3;
constexpr std::array<std::string_view, 6> kParts = {"info",       "license", "modelfile",
                                                    "parameters", "system",  "template"};

const Json& child(const Json& json, const char* field) {
  static const Json kNothing = Json::object();
  const auto found = json.find(field);
  return found != json.end() && found->is_object() ? *found : kNothing;
}

std::string first_of(std::initializer_list<std::string> candidates) {
  for (const std::string& text : candidates) {
    if (!text.empty()) return text;
  }
  return {};
}

std::string number_text(std::int64_t value) {
  return value > 0 ? fmt::format("{}", value) : std::string();
}

using Rows = std::vector<std::pair<std::string_view, std::string>>;

// Rows without a value are left out, and so is a section without rows.
std::string section(std::string_view title, const Rows& rows) {
  std::size_t widest = 0;
  for (const auto& [name, value] : rows) {
    if (!value.empty()) widest = std::max(widest, name.size());
  }
  if (widest == 0) return {};
  std::string text = fmt::format("  {}\n", title);
  for (const auto& [name, value] : rows) {
    if (!value.empty()) text += fmt::format("    {:<{}}    {}\n", name, widest, value);
  }
  return text + "\n";
}

std::string text_section(std::string_view title, std::string_view body, int lines_max) {
  if (body.find_first_not_of(" \t\n") == std::string_view::npos) return {};
  std::string text = fmt::format("  {}\n", title);
  int lines = 0;
  while (!body.empty()) {
    if (lines++ == lines_max) {
      text += "    ...\n";
      break;
    }
    const std::size_t newline = std::min(body.find('\n'), body.size());
    text += fmt::format("    {}\n", body.substr(0, newline));
    body.remove_prefix(std::min(newline + 1, body.size()));
  }
  return text + "\n";
}

Rows model_rows(const Json& show) {
  const Json &details = child(show, "details"), &info = child(show, "model_info");
  const std::int64_t size = integer_field(show, "size");
  const std::int64_t kv = integer_field(info, "kv_bytes_per_token");
  const std::string context = first_of({number_text(integer_field(info, "context_max")),
                                        number_text(integer_field(info, "context_length")),
                                        number_text(integer_field(details, "context_length"))});
  return {
      {"architecture", first_of({text_field(info, "architecture"), text_field(details, "family")})},
      {"parameters", text_field(details, "parameter_size")},
      {"context length", context},
      {"format", first_of({text_field(info, "format"), text_field(details, "quantization_level")})},
      {"size", size > 0 ? format_bytes(static_cast<std::uint64_t>(size)) : ""},
      {"kv bytes per token", number_text(kv)},
  };
}

// The texts of an array, a line each.
std::string lines_of(const Json& holder, const char* field) {
  std::string text;
  const auto list = holder.find(field);
  if (list == holder.end() || !list->is_array()) return {};
  for (const Json& item : *list) {
    if (item.is_string()) text += item.get<std::string>() + "\n";
  }
  return text;
}

}  // namespace

std::string model_page(const Json& show) {
  std::string page = section("Model", model_rows(show));
  page += section("Source", {{"repository", text_field(show, "source")},
                             {"revision", text_field(show, "revision")},
                             {"commit", text_field(show, "commit")},
                             {"pulled", text_field(show, "modified_at")}});
  page += text_section("Capabilities", lines_of(show, "capabilities"), 100);
  page += text_section("Notes", lines_of(child(show, "model_info"), "notes"), 100);
  page += text_section("Parameters", text_field(show, "parameters"), 100);
  page += text_section("System", text_field(show, "system"), 100);
  page += text_section("License", text_field(show, "license"), kLicenseLinesMax);
  if (page.ends_with("\n\n")) page.pop_back();
  return page;
}

Result<std::string> model_page_part(const Json& show, std::string_view part) {
  if (part == "info") return model_page(show);
  if (std::find(kParts.begin(), kParts.end(), part) == kParts.end()) {
    return make_error(Errc::invalid_argument, "a model has no '{}'{}", part,
                      did_you_mean(part, kParts));
  }
  std::string text = text_field(show, part);
  if (text.empty()) return make_error(Errc::not_found, "this model has no {} of its own", part);
  if (!text.ends_with('\n')) text += '\n';
  return text;
}

}  // namespace glm
