#include "runner/text/utf8_stream.h"

#include <utility>

#include "runner/text/utf8.h"

namespace glm::runner {
namespace {

// Appends what is decided; returns where an incomplete character begins, or the end.
std::size_t append_decided(std::string& text, std::string_view bytes) {
  std::size_t at = 0;
  std::size_t good = 0;  // well-formed since here, not yet appended
  while (at < bytes.size()) {
    const Utf8Step step = utf8_step(bytes, at);
    if (step.kind == Utf8Step::Kind::incomplete) break;
    if (step.kind == Utf8Step::Kind::ill_formed) {
      text.append(bytes.substr(good, at - good));
      append_utf8(text, kReplacement);
      good = at + step.length_bytes;
    }
    at += step.length_bytes;
  }
  text.append(bytes.substr(good, at - good));
  return at;
}

}  // namespace

std::string Utf8Stream::push(std::string_view bytes) {
  std::string text;
  text.reserve(waiting_.size() + bytes.size());
  if (waiting_.empty()) {
    waiting_ = bytes.substr(append_decided(text, bytes));
  } else {
    waiting_ += bytes;
    waiting_.erase(0, append_decided(text, waiting_));
  }
  return text;
}

std::string Utf8Stream::finish() {
  std::string text;
  if (!waiting_.empty()) append_utf8(text, kReplacement);
  waiting_.clear();
  return text;
}

std::string to_valid_utf8(std::string_view bytes) {
  Utf8Stream stream;
  std::string text = stream.push(bytes);
  text += stream.finish();
  return text;
}

}  // namespace glm::runner
