#include "modelfiles/lexer.h"

#include <algorithm>

namespace glm::modelfiles {
namespace {

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
constexpr std::string_view kTriple = "\"\"\"";
constexpr std::size_t kExcerptMax = 100;  // characters of a line that an error shows

bool is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\r';
}

// A byte that begins a character of UTF-8.
bool begins_character(char c) {
  return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
}

std::size_t characters(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), begins_character));
}

// Cuts after so many characters.
std::string_view first_characters(std::string_view text, std::size_t count) {
  std::size_t at = 0;
  while (at < text.size()) {
    if (begins_character(text[at]) && count-- == 0) break;
    ++at;
  }
  return text.substr(0, at);
}

// Text of the file for a terminal: control bytes would move the caret, or worse.
std::string printable(std::string_view text) {
  std::string shown(text);
  for (char& c : shown) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x20 && c != '\t') || byte == 0x7F) c = '?';
  }
  return shown;
}

std::string without_carriage_returns(std::string_view text) {
  std::string clean;
  clean.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\r' && i + 1 < text.size() && text[i + 1] == '\n') continue;
    clean += text[i];
  }
  return clean;
}

}  // namespace

Lexer::Lexer(std::string_view text, std::string_view file_name)
    : text_(text), file_name_(file_name) {
  if (text_.starts_with(kByteOrderMark)) text_.remove_prefix(kByteOrderMark.size());
}

std::size_t Lexer::line_end(std::size_t from) const {
  return std::min(text_.find('\n', from), text_.size());
}

void Lexer::skip_blanks() {
  while (at_ < text_.size() && is_blank(text_[at_])) ++at_;
}

bool Lexer::next_line() {
  while (true) {
    skip_blanks();
    if (at_ == text_.size()) return false;
    if (text_[at_] == '#') at_ = line_end(at_);
    if (at_ < text_.size() && text_[at_] != '\n') return true;
    if (at_ < text_.size()) ++at_;
  }
}

Piece Lexer::word() {
  skip_blanks();
  const std::size_t begin = at_;
  while (at_ < text_.size() && !is_blank(text_[at_]) && text_[at_] != '\n') ++at_;
  return {.text = std::string(text_.substr(begin, at_ - begin)), .offset = begin};
}

Result<Piece> Lexer::value(std::string_view instruction) {
  skip_blanks();
  if (text_.substr(at_).starts_with(kTriple)) return triple_quoted();
  if (at_ < text_.size() && text_[at_] == '"') return quoted();
  const std::size_t begin = at_;
  at_ = line_end(at_);
  std::size_t end = at_;
  while (end > begin && is_blank(text_[end - 1])) --end;
  if (end == begin) return error(begin, fmt::format("{} wants a value", instruction));
  return Piece{.text = std::string(text_.substr(begin, end - begin)), .offset = begin};
}

Status Lexer::expect_line_end() {
  skip_blanks();
  if (at_ == text_.size() || text_[at_] == '\n') return Ok{};
  return error(at_, "text behind the closing quote; put \"\"\" around a value with quotes in it");
}

Result<Piece> Lexer::quoted() {
  const std::size_t open = at_++;
  const std::size_t close = text_.find_first_of("\"\n", at_);
  if (close == std::string_view::npos || text_[close] == '\n') {
    return error(open, "this quote is not closed on its line; put \"\"\" around longer texts");
  }
  Piece piece{.text = std::string(text_.substr(at_, close - at_)), .offset = at_};
  at_ = close + 1;
  GLM_TRY(expect_line_end());
  return piece;
}

Result<Piece> Lexer::triple_quoted() {
  const std::size_t open = at_;
  const std::size_t begin = at_ + kTriple.size();
  std::size_t close = text_.find(kTriple, begin);
  if (close == std::string_view::npos) return error(open, "this \"\"\" is never closed");
  while (close + kTriple.size() < text_.size() && text_[close + kTriple.size()] == '"') ++close;
  at_ = close + kTriple.size();
  GLM_TRY(expect_line_end());
  return Piece{.text = without_carriage_returns(text_.substr(begin, close - begin)),
               .offset = begin};
}

std::size_t Lexer::line_number(std::size_t offset) const {
  const std::string_view before = text_.substr(0, offset);
  return 1 + static_cast<std::size_t>(std::count(before.begin(), before.end(), '\n'));
}

Error Lexer::error(std::size_t offset, std::string_view message, Errc code) const {
  const std::size_t newline = offset == 0 ? std::string_view::npos : text_.rfind('\n', offset - 1);
  const std::size_t begin = newline == std::string_view::npos ? 0 : newline + 1;
  std::string_view line = text_.substr(begin, line_end(offset) - begin);
  std::string_view before = line.substr(0, offset - begin);
  while (!line.empty() && is_blank(line.back()) && line.size() > before.size()) {
    line.remove_suffix(1);
  }
  const std::size_t column = characters(before) + 1;

  // Of a long line the part around the mistake.
  std::string_view dots_before, dots_after;
  if (column > kExcerptMax * 3 / 4) {
    const std::size_t cut = first_characters(before, column - kExcerptMax / 2).size();
    before.remove_prefix(cut);
    line.remove_prefix(cut);
    dots_before = "...";
  }
  if (characters(line) > kExcerptMax) {
    line = first_characters(line, kExcerptMax);
    dots_after = "...";
  }
  std::string indent(dots_before.size(), ' ');
  for (const char c : before) {
    if (begins_character(c)) indent += c == '\t' ? '\t' : ' ';
  }
  return make_error(code, "{}:{}:{}: {}\n{}{}{}\n{}^", file_name_, line_number(offset), column,
                    printable(message), dots_before, printable(line), dots_after, indent);
}

}  // namespace glm::modelfiles
