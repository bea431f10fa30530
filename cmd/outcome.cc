#include "cmd/outcome.h"

#include <algorithm>
#include <iterator>

#include "base/check.h"

namespace glm {
namespace {

constexpr Outcome kOutcomes[] = {
    {Errc::internal, 500, 1, "a bug of ours"},
    {Errc::invalid_argument, 400, 2, "wrong use: flags, names, values"},
    {Errc::not_found, 404, 3, "no such model, file or program"},
    {Errc::already_exists, 409, 4, "in the way: a name or a port is taken"},
    {Errc::corrupt, 500, 5, "bytes are not what they claim to be"},
    {Errc::unavailable, 503, 6, "not reachable now; trying again may help"},
    {Errc::unsupported, 400, 7, "understood, but not possible here"},
    {Errc::permission, 403, 8, "not allowed"},
    {Errc::exhausted, 503, 9, "no room: disk, memory or queue"},
    {Errc::device, 500, 10, "the accelerator failed"},
    {Errc::context_length_exceeded, 400, 11, "the prompt is longer than the context"},
    {Errc::cancelled, 499, 130, "interrupted"},
};

}  // namespace

std::span<const Outcome> outcomes() {
  return kOutcomes;
}

const Outcome& outcome(Errc code) {
  const auto* row =
      std::find_if(std::begin(kOutcomes), std::end(kOutcomes),
                   [code](const Outcome& candidate) { return candidate.code == code; });
  GLM_CHECK(row != std::end(kOutcomes));
  return *row;
}

std::optional<Errc> errc_from_name(std::string_view text) {
  for (const Outcome& row : kOutcomes) {
    if (name(row.code) == text) return row.code;
  }
  return std::nullopt;
}

Errc errc_from_http_status(int status) {
  switch (status) {
    case 400:
    case 405:
    case 413:
    case 422:
      return Errc::invalid_argument;
    case 401:
    case 403:
      return Errc::permission;
    case 404:
      return Errc::not_found;
    case 409:
      return Errc::already_exists;
    case 408:
    case 429:
    case 502:
    case 503:
    case 504:
      return Errc::unavailable;
    case 499:
      return Errc::cancelled;
    case 501:
      return Errc::unsupported;
    case 507:
      return Errc::exhausted;
    default:
      return Errc::internal;
  }
}

std::optional<Errc> errc_from_exit_code(int exit_code) {
  for (const Outcome& row : kOutcomes) {
    if (row.exit_code == exit_code) return row.code;
  }
  return std::nullopt;
}

std::string exit_codes_help() {
  std::string text = "Exit codes: 0 done";
  std::size_t line_begin = 0;
  for (const Outcome& row : kOutcomes) {
    const std::string item = fmt::format("{} {}", row.exit_code, row.meaning);
    text += ";";
    if (text.size() - line_begin + item.size() + 2 > 79) {
      text += "\n";
      line_begin = text.size();
      text += " ";
    }
    text += " " + item;
  }
  return text;
}

}  // namespace glm
