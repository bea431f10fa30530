#include "runner/text/jinja/python_text.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdlib>

#include "runner/text/jinja/meter.h"
#include "runner/text/utf8.h"

namespace glm::runner::jinja {
namespace {

utf8proc_category_t category(char32_t c) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(c));
}

bool is_mark(char32_t c) {
  const auto kind = category(c);
  return kind == UTF8PROC_CATEGORY_MN || kind == UTF8PROC_CATEGORY_ME;
}

char32_t to_lower(char32_t c) {
  return static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c)));
}

char32_t to_upper(char32_t c) {
  return static_cast<char32_t>(utf8proc_toupper(static_cast<utf8proc_int32_t>(c)));
}

void append_lower(std::string& out, char32_t c) {
  if (c == 0x130) {
    out += "i\u0307";
  } else {
    append_utf8(out, to_lower(c));
  }
}

void append_upper(std::string& out, char32_t c) {
  if (c == 0xDF) {
    out += "SS";
  } else {
    append_utf8(out, to_upper(c));
  }
}

void append_title(std::string& out, char32_t c) {
  if (c == 0xDF) {
    out += "Ss";
  } else {
    append_utf8(out, static_cast<char32_t>(utf8proc_totitle(static_cast<utf8proc_int32_t>(c))));
  }
}

bool is_cased(char32_t c) {
  return is_cased_lower(c) || is_cased_upper(c);
}

// Greek sigma is written differently at the end of a word.
bool ends_word(std::string_view text, std::size_t at, std::size_t end) {
  std::size_t before = at;
  bool letter_before = false;
  while (before > 0 && !letter_before) {
    before = previous_character(text, before);
    const char32_t c = utf8_character(text, before).code_point;
    if (is_cased(c)) letter_before = true;
    if (!is_mark(c)) break;
  }
  if (!letter_before) return false;
  for (std::size_t next = end; next < text.size();) {
    const Utf8Step step = utf8_character(text, next);
    if (is_cased(step.code_point)) return false;
    if (!is_mark(step.code_point)) break;
    next += step.length_bytes;
  }
  return true;
}

void append_lower_at(std::string& out, std::string_view text, std::size_t at,
                     const Utf8Step& step) {
  if (step.code_point == 0x3A3 && ends_word(text, at, at + step.length_bytes)) {
    out += "ς";
  } else {
    append_lower(out, step.code_point);
  }
}

// What repr shows as itself.
bool is_printable(char32_t c) {
  switch (category(c)) {
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
      return false;
    case UTF8PROC_CATEGORY_ZS:
      return c == ' ';
    default:
      return true;
  }
}

void append_text_repr(std::string& out, std::string_view text) {
  const bool single = text.find('\'') != std::string_view::npos;
  const char quote = single && text.find('"') == std::string_view::npos ? '"' : '\'';
  out.push_back(quote);
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Step step = utf8_character(text, at);
    const char32_t c = step.code_point;
    if (c == static_cast<char32_t>(quote) || c == '\\') {
      out.push_back('\\');
      out.push_back(static_cast<char>(c));
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\r') {
      out += "\\r";
    } else if (c == '\t') {
      out += "\\t";
    } else if (is_printable(c)) {
      out.append(text.substr(at, step.length_bytes));
    } else if (c < 0x100) {
      out += fmt::format("\\x{:02x}", static_cast<unsigned>(c));
    } else if (c < 0x10000) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    } else {
      out += fmt::format("\\U{:08x}", static_cast<unsigned>(c));
    }
    at += step.length_bytes;
  }
  out.push_back(quote);
}

Status append_repr(std::string& out, const Value& value, int depth);

Status append_items(std::string& out, const std::vector<Value>& items, int depth) {
  bool first = true;
  for (const Value& item : items) {
    if (!first) out += ", ";
    first = false;
    GLM_TRY(append_repr(out, item, depth + 1));
  }
  return Ok{};
}

Status append_entries(std::string& out, const Dict& dict, int depth) {
  bool first = true;
  for (const auto& [key, value] : dict.entries()) {
    if (!first) out += ", ";
    first = false;
    GLM_TRY(append_repr(out, key, depth + 1));
    out += ": ";
    GLM_TRY(append_repr(out, value, depth + 1));
  }
  return Ok{};
}

Status append_container(std::string& out, const Value& value, int depth) {
  if (value.is(Kind::list)) {
    out += "[";
    GLM_TRY(append_items(out, value.items().items, depth));
    out += "]";
  } else if (value.is(Kind::tuple)) {
    out += "(";
    GLM_TRY(append_items(out, value.items().items, depth));
    out += value.items().items.size() == 1 ? ",)" : ")";
  } else if (value.is(Kind::dict)) {
    out += "{";
    GLM_TRY(append_entries(out, value.dict(), depth));
    out += "}";
  } else {
    out += "<Namespace {";
    GLM_TRY(append_entries(out, value.as<Space>().attributes, depth));
    out += "}>";
  }
  return Ok{};
}

Status append_view(std::string& out, const View& view, std::string_view name, int depth) {
  if (view.of == View::Of::range) {
    out += fmt::format("range({}, {}", int_text(view.start), int_text(view.stop));
    out += view.step == 1 ? ")" : fmt::format(", {})", int_text(view.step));
    return Ok{};
  }
  out.append(name).append("([");
  GLM_TRY(append_items(out, view.items, depth));
  out += "])";
  return Ok{};
}

Status append_repr(std::string& out, const Value& value, int depth) {
  if (depth > kNestingMax) {
    return make_error(Errc::exhausted, "data nested more than {} deep cannot be printed",
                      kNestingMax);
  }
  if (out.size() > kTextMaxBytes) {
    return make_error(Errc::exhausted, "the template made a text of more than {} MiB",
                      kTextMaxBytes >> 20);
  }
  switch (value.kind()) {
    case Kind::missing:
    case Kind::undefined:
      out += "Undefined";
      return Ok{};
    case Kind::none:
      out += "None";
      return Ok{};
    case Kind::boolean:
      out += value.boolean() ? "True" : "False";
      return Ok{};
    case Kind::integer:
      out += int_text(value.integral());
      return Ok{};
    case Kind::real:
      out += float_repr(value.real());
      return Ok{};
    case Kind::text:
      if (value.is_markup()) out += "Markup(";
      append_text_repr(out, value.text());
      if (value.is_markup()) out += ")";
      return Ok{};
    case Kind::view:
      return append_view(out, value.as<View>(), type_name(value), depth);
    case Kind::list:
    case Kind::tuple:
    case Kind::dict:
    case Kind::space:
      return append_container(out, value, depth);
    case Kind::macro:
    case Kind::loop:
    case Kind::function:
    case Kind::iterator:
      out += fmt::format("<{}>", type_name(value));
      return Ok{};
  }
  return Ok{};
}

}  // namespace

std::string int_text(Int value) {
  if (value == 0) return "0";
  std::string digits;
  for (Int rest = value; rest != 0; rest /= 10) {
    const int digit = static_cast<int>(rest % 10);
    digits.push_back(static_cast<char>('0' + std::abs(digit)));
  }
  if (value < 0) digits.push_back('-');
  std::reverse(digits.begin(), digits.end());
  return digits;
}

std::string float_repr(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  // The shortest digits that read back as the same number: d.ddde±xx.
  std::array<char, 40> buffer{};
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value,
                                 std::chars_format::scientific);
  const std::string_view shortest(buffer.data(), static_cast<std::size_t>(end.ptr - buffer.data()));
  const std::size_t e = shortest.find('e');
  const int exponent = std::atoi(std::string(shortest.substr(e + 1)).c_str());
  std::string digits;
  for (const char c : shortest.substr(0, e)) {
    if (c >= '0' && c <= '9') digits.push_back(c);
  }
  const std::string sign = shortest.starts_with('-') ? "-" : "";
  if (exponent < -4 || exponent >= 16) {
    std::string mantissa = digits.substr(0, 1);
    if (digits.size() > 1) mantissa.append(".").append(digits, 1);
    return fmt::format("{}{}e{}{:02}", sign, mantissa, exponent < 0 ? '-' : '+',
                       std::abs(exponent));
  }
  if (exponent < 0) {
    return fmt::format("{}0.{:0>{}}{}", sign, "", -exponent - 1, digits);
  }
  const auto whole = static_cast<std::size_t>(exponent) + 1;
  if (digits.size() <= whole) return fmt::format("{}{:0<{}}.0", sign, digits, whole);
  return fmt::format("{}{}.{}", sign, digits.substr(0, whole), digits.substr(whole));
}

Result<std::string> to_repr(const Value& value) {
  std::string out;
  GLM_TRY(append_repr(out, value, 0));
  return out;
}

Result<std::string> to_text(const Value& value) {
  if (value.is(Kind::text)) return value.text();
  if (value.is(Kind::undefined) || value.is(Kind::missing)) return std::string();
  return to_repr(value);
}

std::string escape_html(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&#34;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out.push_back(c);
    }
  }
  return out;
}

bool is_python_space(char32_t c) {
  return is_white_space(c) || (c >= 0x1C && c <= 0x1F);
}

std::string lower(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Step step = utf8_character(text, at);
    append_lower_at(out, text, at, step);
    at += step.length_bytes;
  }
  return out;
}

std::string upper(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Step step = utf8_character(text, at);
    append_upper(out, step.code_point);
    at += step.length_bytes;
  }
  return out;
}

std::string casefold(std::string_view text) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Step step = utf8_character(text, at);
    std::array<utf8proc_int32_t, 8> folded{};
    int boundary = 0;
    const auto count =
        utf8proc_decompose_char(static_cast<utf8proc_int32_t>(step.code_point), folded.data(),
                                folded.size(), UTF8PROC_CASEFOLD, &boundary);
    if (count < 1 || count > static_cast<utf8proc_ssize_t>(folded.size())) {
      append_utf8(out, step.code_point);
    } else {
      for (utf8proc_ssize_t i = 0; i < count; ++i) {
        append_utf8(out, static_cast<char32_t>(folded[static_cast<std::size_t>(i)]));
      }
    }
    at += step.length_bytes;
  }
  return out;
}

std::string capitalize(std::string_view text) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Step step = utf8_character(text, at);
    if (at == 0) {
      append_title(out, step.code_point);
    } else {
      append_lower_at(out, text, at, step);
    }
    at += step.length_bytes;
  }
  return out;
}

std::string title(std::string_view text) {
  std::string out;
  bool in_word = false;
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Step step = utf8_character(text, at);
    if (in_word) {
      append_lower_at(out, text, at, step);
    } else {
      append_title(out, step.code_point);
    }
    in_word = is_cased(step.code_point);
    at += step.length_bytes;
  }
  return out;
}

bool is_cased_lower(char32_t c) {
  return category(c) == UTF8PROC_CATEGORY_LL || (to_upper(c) != c && to_lower(c) == c);
}

bool is_cased_upper(char32_t c) {
  const auto kind = category(c);
  return kind == UTF8PROC_CATEGORY_LU || kind == UTF8PROC_CATEGORY_LT;
}

bool is_letter(char32_t c) {
  switch (category(c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
      return true;
    default:
      return false;
  }
}

bool is_decimal(char32_t c) {
  return category(c) == UTF8PROC_CATEGORY_ND;
}

std::string_view strip(std::string_view text, std::string_view characters, StripSides sides) {
  const auto goes = [&](std::size_t at, const Utf8Step& step) {
    return characters.empty()
               ? is_python_space(step.code_point)
               : characters.find(text.substr(at, step.length_bytes)) != std::string_view::npos;
  };
  std::size_t first = 0;
  std::size_t end = text.size();
  while (sides.left && first < end) {
    const Utf8Step step = utf8_character(text, first);
    if (!goes(first, step)) break;
    first += step.length_bytes;
  }
  while (sides.right && end > first) {
    const std::size_t before = previous_character(text, end);
    if (!goes(before, utf8_character(text, before))) break;
    end = before;
  }
  return text.substr(first, end - first);
}

}  // namespace glm::runner::jinja
