// Digits: numbers apart from everything else, whole or digit by digit.
#include "runner/text/tokenizer/split.h"
#include "runner/text/utf8.h"

namespace glm::runner::tokenizing {
namespace {

class Digits final : public PreTokenizer {
 public:
  explicit Digits(SplitBehavior behavior) : behavior_(behavior) {}

  void cut(std::string_view text, const PieceSink& sink) const override {
    PieceMaker maker(behavior_, text, sink);
    std::size_t done = 0;
    for (std::size_t at = 0; at < text.size();) {
      const Utf8Step step = utf8_character(text, at);
      const std::size_t end = at + step.length_bytes;
      if (is_numeric(step.code_point)) {
        if (at > done) maker.add({{done, at}, false});
        maker.add({{at, end}, true});
        done = end;
      }
      at = end;
    }
    if (done < text.size()) maker.add({{done, text.size()}, false});
    maker.finish();
  }

 private:
  SplitBehavior behavior_;
};

}  // namespace

MadePreTokenizer make_digits(const Json& component) {
  const bool individual = GLM_TRY(flag_field(component, "individual_digits", false));
  return std::make_unique<Digits>(individual ? SplitBehavior::isolated : SplitBehavior::contiguous);
}

}  // namespace glm::runner::tokenizing
