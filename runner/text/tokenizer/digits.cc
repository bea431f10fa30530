// Digits: numbers apart from everything else, whole or digit by digit.
#include "runner/text/tokenizer/split.h"
#include "runner/text/utf8.h"

namespace glm::runner::tokenizing {
namespace {

class Digits final : public PreTokenizer {
 public:
  explicit Digits(SplitBehavior behavior) : behavior_(behavior) {}

  void cut(const Piece& piece, const PieceSink& sink) const override {
    split_at(piece, behavior_, &is_numeric, sink);
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
