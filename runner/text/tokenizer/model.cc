#include "runner/text/tokenizer/model.h"

namespace glm::runner::tokenizing {
namespace {

struct Row {
  const char* type;
  MadeTokenModel (*make)(const Json&);
};

constexpr Row kModels[] = {
    {"BPE", &make_bpe},
    {"Unigram", &make_unigram},
    {"WordLevel", &make_word_level},
    {"WordPiece", &make_word_piece},
};

}  // namespace

MadeTokenModel make_token_model(const Json& component) {
  if (!component.is_object()) return make_error(Errc::corrupt, "model is missing");
  std::string type = type_of(component);
  // Files older than the "type" field tell by what they have.
  if (type == "(none)" && member(component, "merges").is_array()) type = "BPE";
  if (type == "(none)" && member(component, "max_input_chars_per_word").is_number()) {
    type = "WordPiece";
  }
  if (type == "(none)" && member(component, "vocab").is_array()) type = "Unigram";
  for (const Row& row : kModels) {
    if (type == row.type) return row.make(component).with("model: " + type);
  }
  return make_error(Errc::unsupported, "model: type '{}' is not supported", type);
}

}  // namespace glm::runner::tokenizing
