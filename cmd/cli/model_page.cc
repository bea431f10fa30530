#include "cmd/cli/model_page.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "base/spelling.h"
#include "base/units.h"
#include "cmd/cli/cli.h"
#include "cmd/cli/table.h"
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

// "29.9B, 3.6B active"
std::string parameters_text(const Json& details, const Json& info) {
  std::string text = text_field(details, "parameter_size");
  const auto active = static_cast<double>(integer_field(info, "parameters_active"));
  if (text.empty() || active <= 0) return text;
  return active >= 1e9 ? fmt::format("{}, {:.1f}B active", text, active / 1e9)
                       : fmt::format("{}, {:.1f}M active", text, active / 1e6);
}

std::string mtp_text(const Json& info) {
  const auto has = info.find("has_mtp");
  if (has == info.end() || !has->is_boolean()) return {};
  return has->get<bool>() ? "present" : "none";
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
      {"parameters", parameters_text(details, info)},
      {"context length", context},
      {"format", first_of({text_field(info, "format"), text_field(details, "quantization_level")})},
      {"size", size > 0 ? format_bytes(static_cast<std::uint64_t>(size)) : ""},
      {"kv bytes per token", number_text(kv)},
      {"mtp layer", mtp_text(info)},
  };
}

Rows source_rows(const Json& show) {
  const auto pulled = show.find("pulled");
  const bool remote = pulled != show.end() && pulled->is_boolean() && !pulled->get<bool>();
  return {{"repository", text_field(show, "source")},
          {"revision", text_field(show, "revision")},
          {"commit", text_field(show, "commit")},
          {"folder", text_field(show, "folder")},
          {"pulled", remote ? "not pulled" : text_field(show, "modified_at")}};
}

std::string counted(std::int64_t count, std::string_view what) {
  return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

// The objects of an array as lines of columns.
template <typename Row>
std::string table_section(std::string_view title, const Json& holder, const char* field, Row row) {
  std::vector<std::vector<std::string>> rows;
  const auto list = holder.find(field);
  if (list == holder.end() || !list->is_array()) return {};
  for (const Json& item : *list) {
    if (item.is_object()) rows.push_back(row(item));
  }
  return text_section(title, table(rows), 1000);
}

std::vector<std::string> format_row(const Json& row) {
  return {text_field(row, "group"), text_field(row, "format"),
          counted(integer_field(row, "modules"), "module"),
          format_bytes(static_cast<std::uint64_t>(integer_field(row, "bytes")))};
}

// Only these could be quantized: norms and biases are modules of a group too, but count in Formats
// alone.
std::string matrices(std::int64_t count) {
  return fmt::format("{} {}", count, count == 1 ? "matrix" : "matrices");
}

std::vector<std::string> unquantized_row(const Json& row) {
  const std::int64_t modules = integer_field(row, "modules"), of = integer_field(row, "of");
  const std::string layers = text_field(row, "layers");
  const bool one = layers.find_first_of("-,") == std::string::npos;
  return {text_field(row, "group"),
          modules == of ? fmt::format("all {}", matrices(modules))
                        : fmt::format("{} of {}", modules, matrices(of)),
          layers.empty() ? "" : fmt::format("{} {}", one ? "layer" : "layers", layers)};
}

// Why it cannot run, where that is so.
std::string refusal_section(const Json& info) {
  const std::string reason = text_field(info, "refusal");
  return reason.empty() ? "" : fmt::format("  glm cannot run this: {}\n\n", reason);
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
  page += refusal_section(child(show, "model_info"));
  page += section("Source", source_rows(show));
  page += table_section("Formats", child(show, "model_info"), "formats", format_row);
  page +=
      table_section("Left unquantized", child(show, "model_info"), "unquantized", unquantized_row);
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
