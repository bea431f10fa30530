#include "runner/text/tokenizer/pre_tokenizer.h"

#include <utility>
#include <vector>

namespace glm::runner::tokenizing {
namespace {

class Sequence final : public PreTokenizer {
 public:
  explicit Sequence(std::vector<std::unique_ptr<PreTokenizer>> stages)
      : stages_(std::move(stages)) {}

  void cut(std::string_view text, const PieceSink& sink) const override { stage(0, text, sink); }

 private:
  void stage(std::size_t index, std::string_view text, const PieceSink& sink) const {
    if (index == stages_.size()) {
      sink(text);
      return;
    }
    stages_[index]->cut(text, [&](std::string_view piece) { stage(index + 1, piece, sink); });
  }

  std::vector<std::unique_ptr<PreTokenizer>> stages_;
};

constexpr std::size_t kStagesMax = 32;

struct Row {
  const char* type;
  MadePreTokenizer (*make)(const Json&);
};

constexpr Row kPreTokenizers[] = {
    {"ByteLevel", &make_byte_level},
    {"Digits", &make_digits},
    {"Split", &make_split},
};

MadePreTokenizer make_one(const Json& component) {
  const std::string type = type_of(component);
  for (const Row& row : kPreTokenizers) {
    if (type == row.type) return row.make(component).with(type);
  }
  return make_error(Errc::unsupported, "type '{}' is not supported", type);
}

MadePreTokenizer make(const Json& component) {
  if (component.is_null()) return std::unique_ptr<PreTokenizer>();
  if (type_of(component) != "Sequence") return make_one(component);
  const Json& parts = member(component, "pretokenizers");
  if (!parts.is_array()) return make_error(Errc::corrupt, "pretokenizers is not a list");
  if (parts.size() > kStagesMax) {
    return make_error(Errc::exhausted, "{} stages, at most {}", parts.size(), kStagesMax);
  }
  std::vector<std::unique_ptr<PreTokenizer>> stages;
  for (const Json& part : parts) stages.push_back(GLM_TRY(make_one(part)));
  return std::make_unique<Sequence>(std::move(stages));
}

}  // namespace

MadePreTokenizer make_pre_tokenizer(const Json& component) {
  return make(component).with("pre_tokenizer");
}

}  // namespace glm::runner::tokenizing
