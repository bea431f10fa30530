// Replace: every match within a token by one text.
#include <utility>

#include "runner/text/tokenizer/decoder.h"
#include "runner/text/tokenizer/pattern.h"

namespace glm::runner::tokenizing {
namespace {

class ReplaceDecoder final : public WholeTokenStage {
 public:
  ReplaceDecoder(Pattern pattern, std::string content)
      : pattern_(std::move(pattern)), content_(std::move(content)) {}

 private:
  void token(std::string token, const TokenSink& next) override {
    std::string text;
    std::size_t done = 0;
    Pattern::Scan scan(pattern_, token);
    while (const auto match = scan.next()) {
      text.append(token, done, match->first - done).append(content_);
      done = match->end;
    }
    next(text.append(token, done), Ends::yes);
  }

  Pattern pattern_;
  std::string content_;
};

}  // namespace

Result<MakeStage> make_replace_decoder(const Json& component) {
  const Pattern pattern = GLM_TRY(pattern_field(component));
  const std::string content = GLM_TRY(text_field(component, "content"));
  return MakeStage([=] { return std::make_unique<ReplaceDecoder>(pattern, content); });
}

}  // namespace glm::runner::tokenizing
