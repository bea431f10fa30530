#include "runner/text/tokenizer/normalizer.h"

#include <utility>
#include <vector>

namespace glm::runner::tokenizing {
namespace {

class Sequence final : public Normalizer {
 public:
  explicit Sequence(std::vector<std::unique_ptr<Normalizer>> steps) : steps_(std::move(steps)) {}
  void apply(Passage& passage) const override {
    for (const auto& step : steps_) step->apply(passage);
  }

 private:
  std::vector<std::unique_ptr<Normalizer>> steps_;
};

// Sequences in sequences are rare, and a few levels are enough. Steps that lengthen the text
// multiply, which is why their number is bounded.
constexpr int kDepthMax = 8;
constexpr int kStepsMax = 64;

MadeNormalizer make(const Json& component, int depth, int& steps_left);

MadeNormalizer make_sequence(const Json& component, int depth, int& steps_left) {
  const Json& parts = member(component, "normalizers");
  if (!parts.is_array()) return make_error(Errc::corrupt, "normalizers is not a list");
  std::vector<std::unique_ptr<Normalizer>> steps;
  for (const Json& part : parts) {
    auto step = GLM_TRY(make(part, depth + 1, steps_left));
    if (step) steps.push_back(std::move(step));
  }
  return std::make_unique<Sequence>(std::move(steps));
}

struct Row {
  const char* type;
  MadeNormalizer (*make)(const Json&);
};

constexpr Row kNormalizers[] = {
    {"BertNormalizer", &make_bert_normalizer},
    {"ByteLevel", &make_byte_level_normalizer},
    {"Lowercase", &make_lowercase},
    {"NFC", &make_nfc},
    {"NFD", &make_nfd},
    {"NFKC", &make_nfkc},
    {"NFKD", &make_nfkd},
    {"Nmt", &make_nmt},
    {"Precompiled", &make_precompiled},
    {"Prepend", &make_prepend},
    {"Replace", &make_replace},
    {"Strip", &make_strip},
    {"StripAccents", &make_strip_accents},
};

MadeNormalizer make(const Json& component, int depth, int& steps_left) {
  if (component.is_null()) return std::unique_ptr<Normalizer>();
  const std::string type = type_of(component);
  if (depth > kDepthMax) return make_error(Errc::unsupported, "sequences nested too deeply");
  if (--steps_left < 0) return make_error(Errc::exhausted, "more than {} steps", kStepsMax);
  if (type == "Sequence") return make_sequence(component, depth, steps_left);
  for (const Row& row : kNormalizers) {
    if (type == row.type) return row.make(component).with(type);
  }
  return make_error(Errc::unsupported, "type '{}' is not supported", type);
}

}  // namespace

MadeNormalizer make_normalizer(const Json& component) {
  int steps_left = kStepsMax;
  return make(component, 0, steps_left).with("normalizer");
}

}  // namespace glm::runner::tokenizing
