#include "runner/text/tokenizer/model.h"

namespace glm::runner::tokenizing {
namespace {

struct Row {
  const char* type;
  MadeTokenModel (*make)(const Json&);
};

constexpr Row kModels[] = {
    {"BPE", &make_bpe},
};

}  // namespace

MadeTokenModel make_token_model(const Json& component) {
  if (!component.is_object()) return make_error(Errc::corrupt, "model is missing");
  std::string type = type_of(component);
  // Files older than the "type" field are BPE exactly when they have merges.
  if (type == "(none)" && member(component, "merges").is_array()) type = "BPE";
  for (const Row& row : kModels) {
    if (type == row.type) return row.make(component).with("model: " + type);
  }
  return make_error(Errc::unsupported, "model: type '{}' is not supported", type);
}

}  // namespace glm::runner::tokenizing
