#include "runner/text/python_literal.h"

#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "runner/text/tag_text.h"
#include "runner/text/utf8.h"

namespace glm::runner {
namespace {

using Json = nlohmann::ordered_json;
using Parsed = std::optional<Json>;

constexpr int kDepthMax = 100;

class LiteralParser {
 public:
  explicit LiteralParser(std::string_view text) : text_(text) {}

  Parsed run() {
    Parsed value = parse(0);
    skip_space();
    return at_ == text_.size() ? value : std::nullopt;
  }

 private:
  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }

  void skip_space() { at_ = std::min(text_.find_first_not_of(kTagSpace, at_), text_.size()); }

  bool skip(char c) {
    skip_space();
    if (peek() != c) return false;
    ++at_;
    return true;
  }

  Parsed parse(int depth) {
    if (depth > kDepthMax) return std::nullopt;
    skip_space();
    switch (peek()) {
      case '{':
        return dict(depth);
      case '[':
        return items(']', depth);
      case '(':
        return items(')', depth);
      case '\'':
      case '"':
        return text();
      default:
        return word();
    }
  }

  Parsed items(char close, int depth) {
    ++at_;
    Json out = Json::array();
    while (!skip(close)) {
      Parsed item = parse(depth + 1);
      if (!item) return std::nullopt;
      out.push_back(std::move(*item));
      if (skip(close)) return out;
      if (!skip(',')) return std::nullopt;
    }
    return out;
  }

  Parsed dict(int depth) {
    ++at_;
    Json out = Json::object();
    while (!skip('}')) {
      skip_space();
      Parsed key = text();
      if (!key || !skip(':')) return std::nullopt;
      Parsed value = parse(depth + 1);
      if (!value) return std::nullopt;
      out[key->get<std::string>()] = std::move(*value);
      if (skip('}')) return out;
      if (!skip(',')) return std::nullopt;
    }
    return out;
  }

  Parsed text() {
    const char quote = peek();
    if (quote != '\'' && quote != '"') return std::nullopt;
    std::string out;
    for (++at_; at_ < text_.size(); ++at_) {
      const char c = text_[at_];
      if (c == quote) {
        ++at_;
        return Json(std::move(out));
      }
      if (c != '\\') {
        out.push_back(c);
      } else if (!escape(out)) {
        return std::nullopt;
      }
    }
    return std::nullopt;
  }

  // At a backslash; ends on the escape's last character.
  bool escape(std::string& out) {
    ++at_;
    const char c = peek();
    static constexpr std::pair<char, char> kSimple[] = {{'n', '\n'},  {'t', '\t'}, {'r', '\r'},
                                                        {'b', '\b'},  {'f', '\f'}, {'\\', '\\'},
                                                        {'\'', '\''}, {'"', '"'},  {'/', '/'}};
    for (const auto& [letter, meaning] : kSimple) {
      if (c == letter) return out.push_back(meaning), true;
    }
    const std::size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : 0;
    if (digits == 0 || at_ + digits >= text_.size()) return false;
    char32_t value = 0;
    for (std::size_t i = 0; i < digits; ++i) {
      const char digit = static_cast<char>(text_[++at_] | 0x20);
      if (digit >= '0' && digit <= '9') {
        value = value * 16 + static_cast<char32_t>(digit - '0');
      } else if (digit >= 'a' && digit <= 'f') {
        value = value * 16 + static_cast<char32_t>(digit - 'a' + 10);
      } else {
        return false;
      }
    }
    append_utf8(out, value >= 0xD800 && value <= 0xDFFF ? kReplacement : value);
    return true;
  }

  Parsed word() {
    const std::size_t end = std::min(text_.find_first_of(" \t\r\n,:]})", at_), text_.size());
    const std::string_view found = text_.substr(at_, end - at_);
    at_ = end;
    if (found == "True" || found == "true") return Json(true);
    if (found == "False" || found == "false") return Json(false);
    if (found == "None" || found == "null") return Json(nullptr);
    Json number = Json::parse(found, nullptr, false);
    if (!number.is_number()) return std::nullopt;
    return number;
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

}  // namespace

std::optional<Json> parse_python_literal(std::string_view text) {
  return LiteralParser(text).run();
}

}  // namespace glm::runner
