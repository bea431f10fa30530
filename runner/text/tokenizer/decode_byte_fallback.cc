// ByteFallback: "<0xE4>" tokens back to bytes.
//
// A run of them is text if the whole run is UTF-8; otherwise each byte is one U+FFFD. So a run
// waits until it is over, or until it is certain to be no text.
#include <charconv>
#include <optional>

#include "runner/text/tokenizer/decoder.h"
#include "runner/text/utf8.h"

namespace glm::runner::tokenizing {
namespace {

std::optional<char> byte_of(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token.back() != '>') return std::nullopt;
  const char* digits = token.data() + 3;
  if (*digits == '+') ++digits;  // as the reference's number parser has it
  unsigned value = 0;
  const auto [end, error] = std::from_chars(digits, token.data() + 5, value, 16);
  if (error != std::errc() || end != token.data() + 5) return std::nullopt;
  return static_cast<char>(value);
}

class ByteFallback final : public WholeTokenStage {
 private:
  void token(std::string token, const TokenSink& next) override {
    if (const auto byte = byte_of(token)) {
      run_.push_back(*byte);
      if (!is_lost_) look_at_the_end();
      if (is_lost_) give_up(next);
    } else {
      last(next);
      next(token, Ends::yes);
    }
  }

  void last(const TokenSink& next) override {
    if (checked_ < run_.size()) is_lost_ = true;  // ends in the middle of a character
    if (is_lost_) {
      give_up(next);
    } else if (!run_.empty()) {
      next(run_, Ends::yes);
    }
    run_.clear();
    checked_ = 0;
    is_lost_ = false;
  }

  void look_at_the_end() {
    while (checked_ < run_.size()) {
      const Utf8Step step = utf8_step(run_, checked_);
      if (step.kind == Utf8Step::Kind::incomplete) return;
      if (step.kind == Utf8Step::Kind::ill_formed) {
        is_lost_ = true;
        return;
      }
      checked_ += step.length_bytes;
    }
  }

  void give_up(const TokenSink& next) {
    for (std::size_t i = 0; i < run_.size(); ++i) next("\uFFFD", Ends::yes);
    run_.clear();
    checked_ = 0;
  }

  std::string run_;
  std::size_t checked_ = 0;  // well-formed up to here
  bool is_lost_ = false;     // the run is no text, whatever comes
};

}  // namespace

Result<MakeStage> make_byte_fallback(const Json&) {
  return MakeStage([] { return std::make_unique<ByteFallback>(); });
}

}  // namespace glm::runner::tokenizing
