#include "base/units.h"

#include <array>
#include <charconv>
#include <cmath>
#include <cstdlib>

namespace glm {

std::string format_bytes(std::uint64_t size_bytes) {
  constexpr std::array<const char*, 5> kUnits = {"B", "kB", "MB", "GB", "TB"};
  if (size_bytes < 1000) return fmt::format("{} B", size_bytes);
  double value = static_cast<double>(size_bytes);
  std::size_t unit = 0;
  while (value >= 999.95 && unit + 1 < kUnits.size()) {
    value /= 1000;
    ++unit;
  }
  return fmt::format("{:.1f} {}", value, kUnits[unit]);
}

std::string format_duration(std::chrono::seconds duration) {
  const auto s = duration.count();
  if (s < 60) return fmt::format("{} s", s);
  if (s < 3600) return fmt::format("{}m{:02}s", s / 60, s % 60);
  return fmt::format("{}h{:02}m", s / 3600, s / 60 % 60);
}

std::string format_age(std::chrono::seconds age) {
  const auto s = age.count();
  const auto say = [](std::int64_t n, const char* unit) {
    return fmt::format("{} {}{} ago", n, unit, n == 1 ? "" : "s");
  };
  if (s < 10) return "just now";
  if (s < 60) return say(s, "second");
  if (s < 3600) return say(s / 60, "minute");
  if (s < 86400) return say(s / 3600, "hour");
  return say(s / 86400, "day");
}

Result<std::chrono::milliseconds> parse_duration(std::string_view text) {
  const auto bad = [&] {
    return make_error(Errc::invalid_argument,
                      "'{}' is no duration; write seconds, or a number with ms, s, m or h such as "
                      "5m or 1h30m",
                      text);
  };
  std::string rest(text);
  double sign = 1;
  if (!rest.empty() && (rest[0] == '-' || rest[0] == '+')) {
    if (rest[0] == '-') sign = -1;
    rest.erase(0, 1);
  }
  if (rest.empty()) return bad();
  double total_ms = 0;
  while (!rest.empty()) {
    if (rest[0] != '.' && (rest[0] < '0' || rest[0] > '9')) return bad();
    const std::size_t digits = rest.find_first_not_of("0123456789.");
    const std::string number = rest.substr(0, digits);
    char* end = nullptr;
    const double value = std::strtod(number.c_str(), &end);
    if (end != number.c_str() + number.size()) return bad();
    rest.erase(0, number.size());
    const std::size_t letters = rest.find_first_of("0123456789.");
    const std::string unit = rest.substr(0, letters);
    rest.erase(0, unit.size());
    if (unit == "ms") {
      total_ms += value;
    } else if (unit == "s" || unit.empty()) {
      total_ms += value * 1000;
    } else if (unit == "m") {
      total_ms += value * 60'000;
    } else if (unit == "h") {
      total_ms += value * 3'600'000;
    } else {
      return bad();
    }
  }
  if (!(total_ms < 1e15)) return bad();
  return std::chrono::milliseconds(std::llround(sign * total_ms));
}

Result<std::uint64_t> parse_count(std::string_view text) {
  std::uint64_t count = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), count);
  if (read.ec == std::errc() && read.ptr == text.data() + text.size()) return count;
  return make_error(Errc::invalid_argument, "'{}' is no number from 0 on", text);
}

}  // namespace glm
