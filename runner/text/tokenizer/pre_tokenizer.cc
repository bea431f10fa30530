#include "runner/text/tokenizer/pre_tokenizer.h"

#include <utility>
#include <vector>

namespace glm::runner::tokenizing {
namespace {

class Sequence final : public PreTokenizer {
 public:
  explicit Sequence(std::vector<std::unique_ptr<PreTokenizer>> stages)
      : stages_(std::move(stages)) {}

  void cut(const Piece& piece, const PieceSink& sink) const override { stage(0, piece, sink); }

 private:
  void stage(std::size_t index, const Piece& piece, const PieceSink& sink) const {
    if (index == stages_.size()) {
      sink(piece);
      return;
    }
    stages_[index]->cut(piece, [&](const Piece& part) { stage(index + 1, part, sink); });
  }

  std::vector<std::unique_ptr<PreTokenizer>> stages_;
};

constexpr std::size_t kStagesMax = 32;
constexpr int kDepthMax = 3;

struct Row {
  const char* type;
  MadePreTokenizer (*make)(const Json&);
};

constexpr Row kPreTokenizers[] = {
    {"BertPreTokenizer", &make_bert_pre_tokenizer},
    {"ByteLevel", &make_byte_level},
    {"CharDelimiterSplit", &make_delimiter_split},
    {"Digits", &make_digits},
    {"FixedLength", &make_fixed_length},
    {"Metaspace", &make_metaspace},
    {"Punctuation", &make_punctuation},
    {"Split", &make_split},
    {"Whitespace", &make_whitespace},
    {"WhitespaceSplit", &make_whitespace_split},
};

MadePreTokenizer make(const Json& component, int depth);

MadePreTokenizer make_sequence(const Json& component, int depth) {
  const Json& parts = member(component, "pretokenizers");
  if (!parts.is_array()) return make_error(Errc::corrupt, "pretokenizers is not a list");
  if (parts.size() > kStagesMax) {
    return make_error(Errc::exhausted, "{} stages, at most {}", parts.size(), kStagesMax);
  }
  std::vector<std::unique_ptr<PreTokenizer>> stages;
  for (const Json& part : parts) stages.push_back(GLM_TRY(make(part, depth + 1)));
  return std::make_unique<Sequence>(std::move(stages));
}

MadePreTokenizer make(const Json& component, int depth) {
  const std::string type = type_of(component);
  if (depth > kDepthMax) return make_error(Errc::unsupported, "sequences nested too deeply");
  if (type == "Sequence") return make_sequence(component, depth);
  for (const Row& row : kPreTokenizers) {
    if (type == row.type) return row.make(component).with(type);
  }
  return make_error(Errc::unsupported, "type '{}' is not supported", type);
}

}  // namespace

MadePreTokenizer make_pre_tokenizer(const Json& component) {
  if (component.is_null()) return std::unique_ptr<PreTokenizer>();
  return make(component, 0).with("pre_tokenizer");
}

}  // namespace glm::runner::tokenizing
