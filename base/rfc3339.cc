#include "base/rfc3339.h"

#include <cstdint>

namespace glm {
namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// Reads exactly so many digits, then the separator unless it is 0. -1: they are not there.
int number(std::string_view& text, std::size_t digits, char separator) {
  if (text.size() < digits) return -1;
  int value = 0;
  for (std::size_t i = 0; i < digits; ++i) {
    if (!is_digit(text[i])) return -1;
    value = value * 10 + (text[i] - '0');
  }
  text.remove_prefix(digits);
  if (separator == 0) return value;
  if (text.empty() || text[0] != separator) return -1;
  text.remove_prefix(1);
  return value;
}

// "Z", "+01:00"; nullopt if it is neither.
std::optional<std::chrono::minutes> zone(std::string_view text) {
  if (text == "Z" || text == "z") return std::chrono::minutes(0);
  if (text.empty() || (text[0] != '+' && text[0] != '-')) return std::nullopt;
  const int sign = text[0] == '-' ? -1 : 1;
  text.remove_prefix(1);
  const int hours = number(text, 2, ':');
  const int minutes = number(text, 2, 0);
  if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59 || !text.empty()) return std::nullopt;
  return std::chrono::minutes(sign * (hours * 60 + minutes));
}

}  // namespace

std::optional<Clock::Wall> parse_rfc3339(std::string_view text) {
  namespace ch = std::chrono;
  const int year = number(text, 4, '-');
  const int month = number(text, 2, '-');
  if (year < 0 || month < 0 || text.size() < 3) return std::nullopt;
  const char between = text[2];
  if (between != 'T' && between != 't' && between != ' ') return std::nullopt;
  const int day = number(text, 2, between);
  const int hour = number(text, 2, ':');
  const int minute = number(text, 2, ':');
  const int second = number(text, 2, 0);
  if (day < 0 || hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60) {
    return std::nullopt;
  }
  std::int64_t nanoseconds = 0;
  if (!text.empty() && text[0] == '.') {
    text.remove_prefix(1);
    if (text.empty() || !is_digit(text[0])) return std::nullopt;
    std::int64_t scale = 100'000'000;
    for (; !text.empty() && is_digit(text[0]); text.remove_prefix(1), scale /= 10) {
      nanoseconds += (text[0] - '0') * scale;
    }
  }
  const auto offset = zone(text);
  if (!offset) return std::nullopt;
  const ch::year_month_day date{ch::year(year), ch::month(static_cast<unsigned>(month)),
                                ch::day(static_cast<unsigned>(day))};
  // The clock counts nanoseconds in 64 bits: 1678 to 2262. What lies beyond is "for ever" anyway.
  if (!date.ok() || year < 1700) return std::nullopt;
  if (year > 2261) return Clock::Wall::max();
  return ch::time_point_cast<Clock::Wall::duration>(ch::sys_days(date) + ch::hours(hour) +
                                                    ch::minutes(minute) + ch::seconds(second) +
                                                    ch::nanoseconds(nanoseconds) - *offset);
}

}  // namespace glm
