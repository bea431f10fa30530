#include "runner/text/jinja/number_text.h"

#include <charconv>
#include <cmath>
#include <limits>
#include <string>

#include "runner/text/jinja/python_text.h"

namespace glm::runner::jinja {
namespace {

// Underscores may stand between digits, and nowhere else.
std::optional<std::string> without_underscores(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '_') {
      out.push_back(text[i]);
      continue;
    }
    const auto alphanumeric = [](char c) {
      return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
    };
    if (i == 0 || i + 1 == text.size() || !alphanumeric(text[i - 1]) ||
        !alphanumeric(text[i + 1])) {
      return std::nullopt;
    }
  }
  return out;
}

int digit_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char lowered = static_cast<char>(c | 0x20);
  if (lowered >= 'a' && lowered <= 'z') return lowered - 'a' + 10;
  return 99;
}

}  // namespace

std::optional<Int> parse_int(std::string_view text, Int base) {
  const auto clean = without_underscores(strip(text, {}, {}));
  if (!clean || (base != 0 && (base < 2 || base > 36))) return std::nullopt;
  std::string_view digits = *clean;
  const bool negative = digits.starts_with('-');
  if (negative || digits.starts_with('+')) digits.remove_prefix(1);
  const auto prefixed = [&](char letter) {
    return digits.size() > 2 && digits[0] == '0' && (digits[1] | 0x20) == letter;
  };
  for (const auto& [letter, radix] : {std::pair('x', 16), std::pair('o', 8), std::pair('b', 2)}) {
    if (prefixed(letter) && (base == 0 || base == radix)) {
      base = radix;
      digits.remove_prefix(2);
      break;
    }
  }
  if (base == 0) base = 10;
  if (digits.empty()) return std::nullopt;
  Int value = 0;
  for (const char c : digits) {
    const int digit = digit_value(c);
    if (digit >= base || __builtin_mul_overflow(value, base, &value) ||
        __builtin_add_overflow(value, Int(digit), &value)) {
      return std::nullopt;
    }
  }
  return negative ? -value : value;
}

std::optional<double> parse_float(std::string_view text) {
  const auto clean = without_underscores(strip(text, {}, {}));
  if (!clean) return std::nullopt;
  std::string_view digits = *clean;
  if (digits.starts_with('+')) {
    digits.remove_prefix(1);
    if (digits.starts_with('-')) return std::nullopt;
  }
  double value = 0;
  const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (read.ptr != digits.data() + digits.size() || digits.empty()) return std::nullopt;
  if (read.ec == std::errc::result_out_of_range) {
    return digits.starts_with('-') ? -std::numeric_limits<double>::infinity()
                                   : std::numeric_limits<double>::infinity();
  }
  if (read.ec != std::errc()) return std::nullopt;
  return value;
}

std::optional<Value> truncated(double value) {
  if (!(std::fabs(value) < 1.7e38)) return std::nullopt;
  return Value::integer(static_cast<Int>(std::trunc(value)));
}

}  // namespace glm::runner::jinja
