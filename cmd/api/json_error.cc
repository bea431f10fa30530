#include "cmd/api/json_error.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace glm::api {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kReasonMax = 120;

// The library's sentence without its number, its own words for the place, and what was read last,
// which may be megabytes.
std::string reason_of(std::string_view sentence) {
  constexpr std::string_view kColumn = ", column ";
  const std::size_t column = sentence.find(kColumn);
  if (column != std::string_view::npos) {
    const std::size_t colon = sentence.find(": ", column);
    if (colon != std::string_view::npos) sentence.remove_prefix(colon + 2);
  }
  sentence = sentence.substr(0, sentence.find("; last read:"));
  return std::string(sentence.substr(0, kReasonMax));
}

// Hears everything and keeps the error.
struct Listener {
  bool null() { return true; }
  bool boolean(bool) { return true; }
  bool number_integer(Json::number_integer_t) { return true; }
  bool number_unsigned(Json::number_unsigned_t) { return true; }
  bool number_float(Json::number_float_t, const std::string&) { return true; }
  bool string(std::string&) { return true; }
  bool binary(Json::binary_t&) { return true; }
  bool start_object(std::size_t) { return true; }
  bool key(std::string&) { return true; }
  bool end_object() { return true; }
  bool start_array(std::size_t) { return true; }
  bool end_array() { return true; }
  bool parse_error(std::size_t position, const std::string&, const Json::exception& error) {
    bytes_read = position;
    reason = reason_of(error.what());
    return false;
  }

  std::size_t bytes_read = 0;  // the last of them is the one in the way
  std::string reason;
};

}  // namespace

std::string json_error(std::string_view text) {
  Listener listener;
  (void)Json::sax_parse(text, &listener);
  const std::size_t at = std::max<std::size_t>(listener.bytes_read, 1) - 1;
  const std::string_view before = text.substr(0, std::min(at, text.size()));
  const std::size_t newline = before.rfind('\n');
  const std::size_t column =
      before.size() - (newline == std::string_view::npos ? 0 : newline + 1) + 1;
  return fmt::format("line {}, column {}: {}", std::count(before.begin(), before.end(), '\n') + 1,
                     column, listener.reason);
}

}  // namespace glm::api
