#include "cmd/cli/pasted_text.h"

#include <utility>

namespace glm {
namespace {

constexpr std::string_view kBegin = "\x1b[200~";
constexpr std::string_view kEnd = "\x1b[201~";

bool is_control(char byte) {
  const auto code = static_cast<unsigned char>(byte);
  return code < 0x20 || code == 0x7F;
}

}  // namespace

std::string PastedText::push(char byte) {
  const std::string_view mark = pasting_ ? kEnd : kBegin;
  if (byte == mark[matched_]) {
    if (++matched_ < mark.size()) return {};
    matched_ = 0;
    pasting_ = !pasting_;
    after_return_ = false;
    return {};
  }
  std::string out;
  for (const char held : mark.substr(0, std::exchange(matched_, 0))) out += plain(held);
  // No mark has its first byte anywhere else.
  out += byte == mark[0] ? push(byte) : plain(byte);
  return out;
}

std::string PastedText::plain(char byte) {
  if (!pasting_) return {byte};
  const bool second = byte == '\n' && after_return_;
  after_return_ = byte == '\r';
  if (second) return {};
  if (byte == '\r' || byte == '\n') return std::string(kNewline);
  return byte != '\t' && is_control(byte) ? std::string() : std::string{byte};
}

std::string PastedText::newlines_of(std::string_view line) {
  std::string out;
  while (true) {
    const std::size_t at = line.find(kNewline);
    out += line.substr(0, at);
    if (at == std::string_view::npos) return out;
    out += '\n';
    line.remove_prefix(at + kNewline.size());
  }
}

}  // namespace glm
