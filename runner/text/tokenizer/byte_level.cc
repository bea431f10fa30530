// ByteLevel: GPT-2's own cutting rule (optional), then bytes as visible characters.
#include <optional>
#include <utility>

#include "runner/text/tokenizer/byte_alphabet.h"
#include "runner/text/tokenizer/pre_tokenizer.h"
#include "runner/text/tokenizer/regex.h"

namespace glm::runner::tokenizing {
namespace {

constexpr std::string_view kGpt2Rule =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

class ByteLevel final : public PreTokenizer {
 public:
  enum class Prefix { none, space };

  ByteLevel(Prefix prefix, std::optional<Regex> rule) : prefix_(prefix), rule_(std::move(rule)) {}

  void cut(const Piece& piece, const PieceSink& sink) const override {
    if (prefix_ == Prefix::space && !piece.text.starts_with(' ')) {
      std::string prefixed = " ";
      cut_prefixed({prefixed.append(piece.text), piece.start_bytes}, sink);
    } else {
      cut_prefixed(piece, sink);
    }
  }

 private:
  void cut_prefixed(const Piece& piece, const PieceSink& sink) const {
    const std::string_view text = piece.text;
    std::string characters;
    const auto emit = [&](std::size_t first, std::size_t end) {
      if (first == end) return;
      characters.clear();
      append_byte_characters(characters, text.substr(first, end - first));
      sink({characters, piece.part(first, end).start_bytes});
    };
    std::size_t done = 0;
    if (rule_) {
      Regex::Scan scan(*rule_, text);
      while (const auto found = scan.next()) {
        emit(done, found->first);
        emit(found->first, found->end);
        done = found->end;
      }
    }
    emit(done, text.size());
  }

  Prefix prefix_;
  std::optional<Regex> rule_;
};

}  // namespace

MadePreTokenizer make_byte_level(const Json& component) {
  const bool prefix = GLM_TRY(flag_field(component, "add_prefix_space", true));
  const bool use_regex = GLM_TRY(flag_field(component, "use_regex", true));
  std::optional<Regex> rule;
  if (use_regex) rule = GLM_TRY(Regex::compile(kGpt2Rule));
  return std::make_unique<ByteLevel>(prefix ? ByteLevel::Prefix::space : ByteLevel::Prefix::none,
                                     std::move(rule));
}

}  // namespace glm::runner::tokenizing
