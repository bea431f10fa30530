// Strip: white space off either end.
#include <algorithm>

#include "runner/text/tokenizer/normalizer.h"
#include "runner/text/utf8.h"

namespace glm::runner::tokenizing {
namespace {

struct Sides {
  bool left = true, right = true;
};

class Strip final : public Normalizer {
 public:
  explicit Strip(Sides sides) : sides_(sides) {}

  void apply(Passage& passage) const override {
    std::string& text = passage.text;
    std::size_t first = 0;
    std::size_t end = text.size();
    while (sides_.left && first < end) {
      const Utf8Step step = utf8_character(text, first);
      if (!is_white_space(step.code_point)) break;
      first += step.length_bytes;
    }
    while (sides_.right && end > first) {
      const std::size_t before = previous_character(text, end);
      if (!is_white_space(utf8_character(text, before).code_point)) break;
      end = before;
    }
    passage.start_bytes -= std::min(passage.start_bytes, first);
    text.erase(end);
    text.erase(0, first);
  }

 private:
  Sides sides_;
};

}  // namespace

MadeNormalizer make_strip(const Json& component) {
  const bool left = GLM_TRY(flag_field(component, "strip_left", true));
  const bool right = GLM_TRY(flag_field(component, "strip_right", true));
  return std::make_unique<Strip>(Sides{.left = left, .right = right});
}

}  // namespace glm::runner::tokenizing
