#include "runner/text/tokenizer/split.h"

#include <utility>

#include "runner/text/tokenizer/pattern.h"

namespace glm::runner::tokenizing {

void PieceMaker::emit(Span span) {
  if (span.end > span.first) sink_(text_.substr(span.first, span.end - span.first));
}

void PieceMaker::flush() {
  if (has_open_) emit(open_.span);
  has_open_ = false;
}

void PieceMaker::add(Stretch stretch) {
  const auto join_open = [&] { open_ = {{open_.span.first, stretch.span.end}, stretch.match}; };
  const auto replace_open = [&] {
    flush();
    open_ = stretch;
    has_open_ = true;
  };
  switch (behavior_) {
    case SplitBehavior::removed:
      if (!stretch.match) emit(stretch.span);
      break;
    case SplitBehavior::isolated:
      emit(stretch.span);
      break;
    case SplitBehavior::contiguous:
      has_open_&& open_.match == stretch.match ? join_open() : replace_open();
      break;
    case SplitBehavior::merged_with_previous:
      has_open_&& stretch.match && !open_.match ? join_open() : replace_open();
      break;
    case SplitBehavior::merged_with_next:
      has_open_&& open_.match && !stretch.match ? join_open() : replace_open();
      break;
  }
}

namespace {

class Split final : public PreTokenizer {
 public:
  enum class Sense { matches, gaps };

  Split(Regex pattern, SplitBehavior behavior, Sense sense)
      : pattern_(std::move(pattern)), behavior_(behavior), sense_(sense) {}

  void cut(std::string_view text, const PieceSink& sink) const override {
    PieceMaker maker(behavior_, text, sink);
    const auto add = [&](Span span, bool match) {
      maker.add({span, match == (sense_ == Sense::matches)});
    };
    std::size_t done = 0;
    Regex::Scan scan(pattern_, text);
    while (const auto found = scan.next()) {
      if (found->first > done) add({done, found->first}, false);
      add(*found, true);
      done = found->end;
    }
    if (done < text.size()) add({done, text.size()}, false);
    maker.finish();
  }

 private:
  Regex pattern_;
  SplitBehavior behavior_;
  Sense sense_;
};

struct BehaviorName {
  const char* name;
  SplitBehavior behavior;
};

constexpr BehaviorName kBehaviors[] = {
    {"Removed", SplitBehavior::removed},
    {"Isolated", SplitBehavior::isolated},
    {"MergedWithPrevious", SplitBehavior::merged_with_previous},
    {"MergedWithNext", SplitBehavior::merged_with_next},
    {"Contiguous", SplitBehavior::contiguous},
};

}  // namespace

MadePreTokenizer make_split(const Json& component) {
  Regex pattern = GLM_TRY(pattern_field(component));
  const bool invert = GLM_TRY(flag_field(component, "invert", false));
  const std::string name = GLM_TRY(text_field(component, "behavior"));
  for (const BehaviorName& row : kBehaviors) {
    if (name != row.name) continue;
    return std::make_unique<Split>(std::move(pattern), row.behavior,
                                   invert ? Split::Sense::gaps : Split::Sense::matches);
  }
  return make_error(Errc::unsupported, "behavior '{}' is not supported", name);
}

}  // namespace glm::runner::tokenizing
