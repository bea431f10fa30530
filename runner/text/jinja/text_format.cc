#include "runner/text/jinja/text_format.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "runner/text/jinja/python_text.h"
#include "runner/text/utf8.h"

namespace glm::runner::jinja {
namespace {

constexpr int kWidthMax = 1000;

struct Directive {
  bool left = false, sign = false, space = false, zero = false, alternate = false;
  int width = 0;
  int precision = -1;
  char conversion = 's';
};

class Formatter {
 public:
  Formatter(Room& room, const Value& format, const Value& values)
      : room_(room), markup_(format.is_markup()), format_(format.text()), values_(values) {}

  Result<Value> run() {
    while (at_ < format_.size()) {
      const std::size_t percent = format_.find('%', at_);
      out_ += format_.substr(at_, percent - at_);
      if (percent == std::string_view::npos) break;
      at_ = percent + 1;
      GLM_TRY(directive());
      GLM_TRY(room_.meter.text(out_.size()));
    }
    // What has items by key may be left unused.
    const bool mapping = values_.is(Kind::dict) || values_.is(Kind::list) ||
                         values_.is(Kind::view) || values_.is(Kind::undefined);
    const bool unused =
        values_.is(Kind::tuple) ? used_ < values_.items().items.size() : !mapping && used_ == 0;
    if (unused) {
      return make_error(Errc::invalid_argument,
                        "not all arguments converted during string formatting");
    }
    return Value::text(std::move(out_)).as_markup(markup_);
  }

 private:
  char peek() const { return at_ < format_.size() ? format_[at_] : '\0'; }

  Status directive() {
    if (peek() == '%') {
      out_.push_back('%');
      ++at_;
      return Ok{};
    }
    Value named;
    if (peek() == '(') {
      const std::size_t close = format_.find(')', at_);
      if (close == std::string_view::npos || !values_.is(Kind::dict)) {
        return make_error(Errc::invalid_argument, "format requires a mapping");
      }
      const std::string_view key = format_.substr(at_ + 1, close - at_ - 1);
      const Value* found = values_.dict().find(key);
      if (found == nullptr) return make_error(Errc::invalid_argument, "no such key: '{}'", key);
      named = *found;
      at_ = close + 1;
    }
    const Directive parsed = GLM_TRY(flags());
    const Value value = named.is(Kind::missing) ? GLM_TRY(next_value()) : named;
    std::string text = GLM_TRY(convert(parsed, value));
    const auto width = static_cast<std::size_t>(parsed.width);
    const std::size_t size = character_count(text);
    const std::size_t padding = width > size ? width - size : 0;
    const bool numeric = parsed.conversion != 's' && parsed.conversion != 'r';
    if (parsed.left) {
      text.append(padding, ' ');
    } else if (parsed.zero && numeric) {
      const bool has_sign = !text.empty() && (text[0] == '-' || text[0] == '+' || text[0] == ' ');
      text.insert(has_sign ? 1 : 0, padding, '0');
    } else {
      text.insert(0, padding, ' ');
    }
    out_ += text;
    return Ok{};
  }

  int number() {
    int value = 0;
    while (peek() >= '0' && peek() <= '9') {
      value = std::min(value * 10 + (peek() - '0'), kWidthMax);
      ++at_;
    }
    return value;
  }

  Result<Directive> flags() {
    Directive out;
    for (;; ++at_) {
      const char c = peek();
      if (c == '-') {
        out.left = true;
      } else if (c == '+') {
        out.sign = true;
      } else if (c == ' ') {
        out.space = true;
      } else if (c == '0') {
        out.zero = true;
      } else if (c == '#') {
        out.alternate = true;
      } else {
        break;
      }
    }
    out.width = number();
    if (peek() == '.') {
      ++at_;
      out.precision = number();
    }
    if (at_ >= format_.size()) return make_error(Errc::invalid_argument, "incomplete format");
    out.conversion = format_[at_++];
    return out;
  }

  Result<Value> next_value() {
    const bool several = values_.is(Kind::tuple);
    const std::size_t count = several ? values_.items().items.size() : 1;
    if (used_ >= count) {
      return make_error(Errc::invalid_argument, "not enough arguments for format string");
    }
    const std::size_t index = used_++;
    return several ? values_.items().items[index] : values_;
  }

  static std::string with_sign(const Directive& how, std::string digits, bool negative) {
    if (negative) return "-" + digits;
    if (how.sign) return "+" + digits;
    return how.space ? " " + digits : digits;
  }

  Result<std::string> convert(const Directive& how, const Value& value) const {
    switch (how.conversion) {
      case 's':
      case 'r': {
        std::string text = GLM_TRY(how.conversion == 's' ? to_text(value) : to_repr(value));
        if (markup_ && !(how.conversion == 's' && value.is_markup())) text = escape_html(text);
        if (how.precision < 0) return text;
        std::size_t end = 0;
        for (int i = 0; i < how.precision && end < text.size(); ++i) {
          end += utf8_character(text, end).length_bytes;
        }
        return text.substr(0, end);
      }
      case 'd':
      case 'i':
      case 'u':
      case 'x':
      case 'X':
      case 'o':
        return integer(how, value);
      case 'f':
      case 'F':
      case 'e':
      case 'E':
      case 'g':
      case 'G':
        return real(how, value);
      default:
        return make_error(Errc::invalid_argument, "unsupported format character '{}'",
                          how.conversion);
    }
  }

  static Result<std::string> integer(const Directive& how, const Value& value) {
    const bool decimal = how.conversion == 'd' || how.conversion == 'i' || how.conversion == 'u';
    if (!value.is_integral() && !(decimal && value.is(Kind::real))) {
      return make_error(Errc::invalid_argument, "%{} format: a number is required, not {}",
                        how.conversion, type_name(value));
    }
    if (value.is(Kind::real) && !(std::fabs(value.real()) < 1e38)) {
      return make_error(Errc::invalid_argument, "cannot convert {} to integer",
                        float_repr(value.real()));
    }
    const Int number =
        value.is_integral() ? value.integral() : static_cast<Int>(std::trunc(value.real()));
    const bool negative = number < 0;
    std::string digits;
    if (decimal) {
      digits = int_text(number);
      if (negative) digits.erase(0, 1);
    } else {
      const unsigned radix = how.conversion == 'o' ? 8 : 16;
      const char* alphabet = how.conversion == 'X' ? "0123456789ABCDEF" : "0123456789abcdef";
      __extension__ typedef unsigned __int128 Unsigned;
      Unsigned rest =
          negative ? Unsigned(0) - static_cast<Unsigned>(number) : static_cast<Unsigned>(number);
      do {
        digits.insert(digits.begin(), alphabet[static_cast<std::size_t>(rest % radix)]);
        rest /= radix;
      } while (rest != 0);
      if (how.alternate)
        digits.insert(0, how.conversion == 'o' ? "0o" : how.conversion == 'X' ? "0X" : "0x");
    }
    if (how.precision > static_cast<int>(digits.size())) {
      digits.insert(0, static_cast<std::size_t>(how.precision) - digits.size(), '0');
    }
    return with_sign(how, std::move(digits), negative);
  }

  static Result<std::string> real(const Directive& how, const Value& value) {
    if (!value.is_number()) {
      return make_error(Errc::invalid_argument, "must be real number, not {}", type_name(value));
    }
    const double number = value.number();
    const bool negative = std::signbit(number) && !std::isnan(number);
    const double magnitude = std::fabs(number);
    if (std::isnan(magnitude) || std::isinf(magnitude)) {
      std::string word = std::isnan(magnitude) ? "nan" : "inf";
      if (std::isupper(static_cast<unsigned char>(how.conversion)) != 0) word = upper(word);
      return with_sign(how, std::move(word), negative);
    }
    const int precision = how.precision < 0 ? 6 : std::min(how.precision, kWidthMax);
    const std::string pattern = std::string(how.alternate ? "%#.*" : "%.*") + how.conversion;
    std::vector<char> buffer(static_cast<std::size_t>(precision) + 400);
    const int size =
        std::snprintf(buffer.data(), buffer.size(), pattern.c_str(), precision, magnitude);
    return with_sign(how, std::string(buffer.data(), static_cast<std::size_t>(size)), negative);
  }

  Room& room_;
  bool markup_;
  std::string_view format_;
  const Value& values_;
  std::size_t at_ = 0;
  std::size_t used_ = 0;
  std::string out_;
};

}  // namespace

Result<Value> percent_format(Room& room, const Value& format, const Value& values) {
  return Formatter(room, format, values).run();
}

}  // namespace glm::runner::jinja
