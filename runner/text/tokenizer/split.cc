#include "runner/text/tokenizer/split.h"

#include <utility>

#include "runner/text/tokenizer/pattern.h"

namespace glm::runner::tokenizing {

void PieceMaker::emit(Span span) {
  if (span.end <= span.first) return;
  sink_(piece_.part(span.first, span.end));
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

  Split(Pattern pattern, SplitBehavior behavior, Sense sense)
      : pattern_(std::move(pattern)), behavior_(behavior), sense_(sense) {}

  void cut(const Piece& piece, const PieceSink& sink) const override {
    const std::string_view text = piece.text;
    PieceMaker maker(behavior_, piece, sink);
    const auto add = [&](Span span, bool match) {
      maker.add({span, match == (sense_ == Sense::matches)});
    };
    std::size_t done = 0;
    Pattern::Scan scan(pattern_, text);
    while (const auto found = scan.next()) {
      if (found->first > done) add({done, found->first}, false);
      add(*found, true);
      done = found->end;
    }
    if (done < text.size()) add({done, text.size()}, false);
    maker.finish();
  }

 private:
  Pattern pattern_;
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

Result<SplitBehavior> behavior_field(const Json& component, std::optional<SplitBehavior> fallback) {
  if (fallback && member(component, "behavior").is_null()) return *fallback;
  const std::string name = GLM_TRY(text_field(component, "behavior"));
  for (const BehaviorName& row : kBehaviors) {
    if (name == row.name) return row.behavior;
  }
  return make_error(Errc::unsupported, "behavior '{}' is not supported", name);
}

MadePreTokenizer make_split(const Json& component) {
  Pattern pattern = GLM_TRY(pattern_field(component));
  const bool invert = GLM_TRY(flag_field(component, "invert", false));
  const SplitBehavior behavior = GLM_TRY(behavior_field(component, std::nullopt));
  return std::make_unique<Split>(std::move(pattern), behavior,
                                 invert ? Split::Sense::gaps : Split::Sense::matches);
}

}  // namespace glm::runner::tokenizing
