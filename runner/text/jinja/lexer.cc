#include "runner/text/jinja/lexer.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>

#include "runner/text/jinja/python_text.h"
#include "runner/text/utf8.h"

namespace glm::runner::jinja {
namespace {

constexpr std::size_t kSourceMaxBytes = 4u << 20;

// "\r\n" and "\r" are newlines, and the last one goes.
std::string normalise_newlines(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (std::size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      out.push_back(source[i]);
    } else {
      out.push_back('\n');
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    }
  }
  if (out.ends_with('\n')) out.pop_back();
  return out;
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

bool all_space(std::string_view text) {
  return strip(text, {}, {}).empty();
}

// Longest first.
constexpr std::string_view kSymbols[] = {"//", "**", "==", "!=", ">=", "<=", "+", "-", "/",
                                         "*",  "%",  "~",  "[",  "]",  "(",  ")", "{", "}",
                                         ">",  "<",  "=",  ".",  ":",  "|",  ",", ";"};

enum class Tag { variable, block };

class Lexer {
 public:
  explicit Lexer(std::string source) : source_(std::move(source)) {}

  Result<std::vector<Token>> run() {
    while (at_ < source_.size()) GLM_TRY(root());
    push(Token::Kind::end, "", position(at_));
    return std::move(tokens_);
  }

 private:
  // Text up to the next opening, and the opening.
  Status root() {
    const std::size_t open = find_opening();
    if (open == std::string::npos) {
      push_data(at_, source_.size());
      at_ = source_.size();
      return Ok{};
    }
    const std::size_t data = at_;
    const char kind = source_[open + 1];
    std::size_t after = open + 2;
    const char sign = after < source_.size() ? source_[after] : '\0';
    if (sign == '-' || sign == '+') ++after;
    push_data(data, data_end(data, open, sign, kind));

    if (kind == '#') return comment(open, after);
    if (kind == '%') {
      if (const auto body = raw_begin(after)) return raw(open, *body);
    }
    const Tag tag = kind == '{' ? Tag::variable : Tag::block;
    push(tag == Tag::variable ? Token::Kind::variable_begin : Token::Kind::block_begin, "",
         position(open));
    move_to(after);
    return inside(tag, open);
  }

  std::size_t find_opening() const {
    for (std::size_t i = source_.find('{', at_); i != std::string::npos;
         i = source_.find('{', i + 1)) {
      if (i + 1 >= source_.size()) break;
      const char next = source_[i + 1];
      if (next == '{' || next == '%' || next == '#') return i;
    }
    return std::string::npos;
  }

  // Where the text before an opening ends, after white space control.
  std::size_t data_end(std::size_t data, std::size_t open, char sign, char kind) const {
    const std::string_view text = std::string_view(source_).substr(data, open - data);
    if (sign == '-') return data + strip(text, {}, {.left = false}).size();
    if (sign == '+' || kind == '{') return open;
    const std::size_t newline = text.rfind('\n');
    const std::size_t line = newline == std::string_view::npos ? 0 : newline + 1;
    const bool at_line_start = line > 0 || line_starting_;
    return at_line_start && all_space(text.substr(line)) ? data + line : open;
  }

  Status comment(std::size_t open, std::size_t after) {
    const std::size_t close = source_.find("#}", after);
    if (close == std::string::npos) return fail(open, "missing end of comment tag");
    const char sign = close > after ? source_[close - 1] : '\0';
    close_tag(close + 2, sign == '-' || sign == '+' ? sign : '\0', Tag::block);
    return Ok{};
  }

  // Where the body of "{% raw %}" begins, if this is one. `after` is behind "{%" and its sign.
  std::optional<std::size_t> raw_begin(std::size_t after) const {
    std::size_t i = skip_space(after);
    if (!std::string_view(source_).substr(i).starts_with("raw")) return std::nullopt;
    i = skip_space(i + 3);
    const std::string_view rest = std::string_view(source_).substr(i);
    if (rest.starts_with("-%}")) return skip_space(i + 3);
    if (rest.starts_with("%}")) return i + 2;
    return std::nullopt;
  }

  Status raw(std::size_t open, std::size_t body) {
    move_to(body);
    for (std::size_t i = source_.find("{%", body); i != std::string::npos;
         i = source_.find("{%", i + 1)) {
      std::size_t j = i + 2;
      const char sign = j < source_.size() ? source_[j] : '\0';
      if (sign == '-' || sign == '+') ++j;
      j = skip_space(j);
      if (!std::string_view(source_).substr(j).starts_with("endraw")) continue;
      j = skip_space(j + 6);
      const char close_sign = j < source_.size() ? source_[j] : '\0';
      const bool signed_close = close_sign == '-' || close_sign == '+';
      if (signed_close) ++j;
      if (!std::string_view(source_).substr(j).starts_with("%}")) continue;
      push_data(body, data_end(body, i, sign, '%'));
      close_tag(j + 2, signed_close ? close_sign : '\0', Tag::block);
      return Ok{};
    }
    return fail(open, "missing end of raw directive");
  }

  // Behind a closing: "-" takes white space, a block takes one newline.
  void close_tag(std::size_t end, char sign, Tag tag) {
    if (sign == '-') {
      end = skip_space(end);
    } else if (sign != '+' && tag == Tag::block && end < source_.size() && source_[end] == '\n') {
      ++end;
    }
    move_to(end);
  }

  Status inside(Tag tag, std::size_t open) {
    std::string brackets;  // those that are open, as what closes them
    while (at_ < source_.size()) {
      if (brackets.empty() && closes(tag)) return Ok{};
      const std::size_t space = skip_space(at_);
      if (space > at_) {
        move_to(space);
        continue;
      }
      GLM_TRY(token(brackets));
    }
    return fail(open, tag == Tag::variable ? "missing end of print statement"
                                           : "missing end of statement block");
  }

  bool closes(Tag tag) {
    const std::string_view rest = std::string_view(source_).substr(at_);
    const std::string_view close = tag == Tag::variable ? "}}" : "%}";
    char sign = '\0';
    if (rest.starts_with('-') || (tag == Tag::block && rest.starts_with('+'))) sign = rest[0];
    const std::size_t length = sign == '\0' ? 0 : 1;
    if (!rest.substr(length).starts_with(close)) return false;
    push(tag == Tag::variable ? Token::Kind::variable_end : Token::Kind::block_end, "",
         position(at_));
    close_tag(at_ + length + 2, sign, tag);
    return true;
  }

  Status token(std::string& brackets) {
    const char c = source_[at_];
    if (is_digit(c)) return number();
    const Utf8Step step = utf8_character(source_, at_);
    if (is_word(step.code_point)) return name();
    if (c == '"' || c == '\'') return text_literal();
    return symbol(brackets);
  }

  // digits, possibly with single underscores between them
  std::size_t digits_end(std::size_t i) const {
    while (i < source_.size() &&
           (is_digit(source_[i]) ||
            (source_[i] == '_' && i + 1 < source_.size() && is_digit(source_[i + 1])))) {
      ++i;
    }
    return i;
  }

  Status number() {
    const std::size_t first = at_;
    const auto is = [&](std::size_t i, char c) { return i < source_.size() && source_[i] == c; };
    const auto digit = [&](std::size_t i) { return i < source_.size() && is_digit(source_[i]); };
    if (source_[first] == '0' && first + 1 < source_.size()) {
      const char base = static_cast<char>(source_[first + 1] | 0x20);
      if (base == 'x' || base == 'o' || base == 'b') return based_number(base);
    }
    std::size_t i = digits_end(first);
    bool real = false;
    const bool after_dot = first > 0 && source_[first - 1] == '.';
    if (!after_dot && is(i, '.') && digit(i + 1)) {
      real = true;
      i = digits_end(i + 1);
    }
    if (!after_dot && (is(i, 'e') || is(i, 'E'))) {
      const std::size_t sign = is(i + 1, '+') || is(i + 1, '-') ? 1 : 0;
      if (digit(i + 1 + sign)) {
        real = true;
        i = digits_end(i + 1 + sign);
      }
    }
    std::string digits = source_.substr(first, i - first);
    digits.erase(std::remove(digits.begin(), digits.end(), '_'), digits.end());
    if (real) return push_real(digits, i);
    if (digits.size() > 1 && digits[0] == '0' &&
        digits.find_first_not_of('0') != std::string::npos) {
      return fail(first, "a decimal number does not begin with 0");
    }
    return push_integer(digits, 10, i);
  }

  Status based_number(char base) {
    const int radix = base == 'x' ? 16 : base == 'o' ? 8 : 2;
    std::string digits;
    std::size_t i = at_ + 2;
    for (; i < source_.size(); ++i) {
      const char c = source_[i];
      if (c == '_') continue;
      if (!is_digit(c) && !((c | 0x20) >= 'a' && (c | 0x20) <= 'f')) break;
      digits.push_back(c);
    }
    return push_integer(digits, radix, i);
  }

  Status push_integer(const std::string& digits, int radix, std::size_t end) {
    std::uint64_t value = 0;
    const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), value, radix);
    if (read.ec != std::errc() || read.ptr != digits.data() + digits.size()) {
      return fail(at_,
                  fmt::format("'{}' is not an integer of 64 bits", source_.substr(at_, end - at_)));
    }
    Token& token = push(Token::Kind::integer, source_.substr(at_, end - at_), position(at_));
    token.integer = static_cast<Int>(value);
    move_to(end);
    return Ok{};
  }

  Status push_real(const std::string& digits, std::size_t end) {
    double value = 0;
    const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (read.ec != std::errc()) {
      return fail(at_, fmt::format("the number '{}' is out of range", digits));
    }
    Token& token = push(Token::Kind::real, digits, position(at_));
    token.real = value;
    move_to(end);
    return Ok{};
  }

  Status name() {
    const std::size_t first = at_;
    std::size_t i = first;
    while (i < source_.size()) {
      const Utf8Step step = utf8_character(source_, i);
      if (!is_word(step.code_point)) break;
      i += step.length_bytes;
    }
    push(Token::Kind::name, source_.substr(first, i - first), position(first));
    move_to(i);
    return Ok{};
  }

  Status text_literal() {
    const char quote = source_[at_];
    std::size_t end = at_ + 1;
    while (end < source_.size() && source_[end] != quote) end += source_[end] == '\\' ? 2 : 1;
    if (end >= source_.size()) return fail(at_, "a string is not closed");
    std::string text = GLM_TRY(unescape(at_ + 1, end));
    push(Token::Kind::text, std::move(text), position(at_));
    move_to(end + 1);
    return Ok{};
  }

  // Python's escapes; unknown ones stay as they are.
  Result<std::string> unescape(std::size_t first, std::size_t end) const {
    std::string out;
    for (std::size_t i = first; i < end; ++i) {
      if (source_[i] != '\\') {
        out.push_back(source_[i]);
        continue;
      }
      const char escape = source_[++i];
      static constexpr std::pair<char, char> kSimple[] = {
          {'\\', '\\'}, {'\'', '\''}, {'"', '"'},  {'a', '\a'}, {'b', '\b'},
          {'f', '\f'},  {'n', '\n'},  {'r', '\r'}, {'t', '\t'}, {'v', '\v'}};
      const auto* simple = std::find_if(std::begin(kSimple), std::end(kSimple),
                                        [&](const auto& row) { return row.first == escape; });
      if (simple != std::end(kSimple)) {
        out.push_back(simple->second);
      } else if (escape == '\n') {
        // a continued line
      } else if (escape >= '0' && escape <= '7') {
        i = append_octal(out, i, end) - 1;
      } else if (escape == 'x' || escape == 'u' || escape == 'U') {
        const std::size_t count = escape == 'x' ? 2 : escape == 'u' ? 4 : 8;
        append_utf8(out, GLM_TRY(hex_character(i + 1, count, end)));
        i += count;
      } else if (escape == 'N') {
        return fail(i - 1, "\\N{…} escapes are not supported");
      } else {
        out.push_back('\\');
        out.push_back(escape);
      }
    }
    return out;
  }

  std::size_t append_octal(std::string& out, std::size_t i, std::size_t end) const {
    char32_t value = 0;
    for (int count = 0; count < 3 && i < end && source_[i] >= '0' && source_[i] <= '7'; ++count) {
      value = value * 8 + static_cast<char32_t>(source_[i++] - '0');
    }
    append_utf8(out, value);
    return i;
  }

  Result<char32_t> hex_character(std::size_t first, std::size_t count, std::size_t end) const {
    std::uint32_t value = 0;
    const char* begin = source_.data() + first;
    const char* stop = begin + count;
    if (first + count > end || std::from_chars(begin, stop, value, 16).ptr != stop) {
      return fail(first - 2, "a \\x, \\u or \\U escape is cut short");
    }
    if (value > 0x10FFFF) return fail(first - 2, "an escape is beyond U+10FFFF");
    const bool surrogate = value >= 0xD800 && value <= 0xDFFF;
    return surrogate ? kReplacement : static_cast<char32_t>(value);
  }

  Status symbol(std::string& brackets) {
    const std::string_view rest = std::string_view(source_).substr(at_);
    const auto* found = std::find_if(std::begin(kSymbols), std::end(kSymbols),
                                     [&](std::string_view s) { return rest.starts_with(s); });
    if (found == std::end(kSymbols)) {
      const Utf8Step step = utf8_character(source_, at_);
      return fail(at_, fmt::format("unexpected character '{}'", rest.substr(0, step.length_bytes)));
    }
    if (*found == "(") brackets.push_back(')');
    if (*found == "[") brackets.push_back(']');
    if (*found == "{") brackets.push_back('}');
    if (*found == ")" || *found == "]" || *found == "}") {
      if (brackets.empty()) return fail(at_, fmt::format("unexpected '{}'", *found));
      if (brackets.back() != found->front()) {
        return fail(at_, fmt::format("unexpected '{}', expected '{}'", *found, brackets.back()));
      }
      brackets.pop_back();
    }
    push(Token::Kind::symbol, std::string(*found), position(at_));
    move_to(at_ + found->size());
    return Ok{};
  }

  std::size_t skip_space(std::size_t i) const {
    while (i < source_.size()) {
      const Utf8Step step = utf8_character(source_, i);
      if (!is_python_space(step.code_point)) break;
      i += step.length_bytes;
    }
    return i;
  }

  Token& push(Token::Kind kind, std::string text, Position at) {
    Token& token = tokens_.emplace_back();
    token.kind = kind;
    token.text = std::move(text);
    token.at = at;
    return token;
  }

  void push_data(std::size_t first, std::size_t end) {
    if (end > first) push(Token::Kind::data, source_.substr(first, end - first), position(first));
  }

  // Every move forward is one "match" of Jinja's lexer; the next opening asks how it ended.
  void move_to(std::size_t end) {
    if (end > at_) line_starting_ = source_[end - 1] == '\n';
    at_ = end;
  }

  // Positions are asked for in order, so that counting costs one pass altogether.
  Position position(std::size_t at) {
    if (at < counted_) counted_ = 0, counted_at_ = {};
    for (; counted_ < at; ++counted_) {
      const auto byte = static_cast<unsigned char>(source_[counted_]);
      if (byte == '\n') {
        ++counted_at_.line;
        counted_at_.column = 1;
      } else if ((byte & 0xC0) != 0x80) {
        ++counted_at_.column;
      }
    }
    return counted_at_;
  }

  Error fail(std::size_t at, std::string_view what) const {
    Lexer copy(source_);
    return make_error(Errc::invalid_argument, "{}: {}", copy.position(at).str(), what);
  }

  std::string source_;
  std::size_t at_ = 0;
  bool line_starting_ = true;
  std::size_t counted_ = 0;
  Position counted_at_;
  std::vector<Token> tokens_;
};

}  // namespace

std::string Token::describe() const {
  switch (kind) {
    case Kind::data:
      return "template text";
    case Kind::variable_begin:
      return "begin of print statement";
    case Kind::variable_end:
      return "end of print statement";
    case Kind::block_begin:
      return "begin of statement block";
    case Kind::block_end:
      return "end of statement block";
    case Kind::text:
      return "a string";
    case Kind::end:
      return "end of template";
    case Kind::name:
    case Kind::integer:
    case Kind::real:
    case Kind::symbol:
      return fmt::format("'{}'", text);
  }
  return "a token";
}

Result<std::vector<Token>> tokenize(std::string source) {
  if (source.size() > kSourceMaxBytes) {
    return make_error(Errc::exhausted, "the template has {} bytes, at most {} are read",
                      source.size(), kSourceMaxBytes);
  }
  if (!is_valid_utf8(source)) {
    return make_error(Errc::invalid_argument, "the template is not UTF-8 text");
  }
  return Lexer(normalise_newlines(source)).run();
}

}  // namespace glm::runner::jinja
