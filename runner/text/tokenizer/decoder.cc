#include "runner/text/tokenizer/decoder.h"

#include <utility>

namespace glm::runner::tokenizing {
namespace {

constexpr std::size_t kStagesMax = 32;
constexpr int kDepthMax = 3;

struct Row {
  const char* type;
  Result<MakeStage> (*make)(const Json&);
};

constexpr Row kDecoders[] = {
    {"BPEDecoder", &make_bpe_decoder},
    {"ByteFallback", &make_byte_fallback},
    {"ByteLevel", &make_byte_level_decoder},
    {"CTC", &make_ctc},
    {"Fuse", &make_fuse},
    {"Metaspace", &make_metaspace_decoder},
    {"Replace", &make_replace_decoder},
    {"Strip", &make_strip_decoder},
    {"WordPiece", &make_word_piece_decoder},
};

Status append(const Json& component, int depth, std::vector<MakeStage>& stages);

Status append_sequence(const Json& component, int depth, std::vector<MakeStage>& stages) {
  const Json& parts = member(component, "decoders");
  if (!parts.is_array()) return make_error(Errc::corrupt, "decoders is not a list");
  for (const Json& part : parts) GLM_TRY(append(part, depth + 1, stages));
  return Ok{};
}

Status append(const Json& component, int depth, std::vector<MakeStage>& stages) {
  const std::string type = type_of(component);
  if (depth > kDepthMax) return make_error(Errc::unsupported, "sequences nested too deeply");
  if (type == "Sequence") return append_sequence(component, depth, stages);
  if (stages.size() == kStagesMax) {
    return make_error(Errc::exhausted, "more than {} stages", kStagesMax);
  }
  for (const Row& row : kDecoders) {
    if (type != row.type) continue;
    stages.push_back(GLM_TRY(row.make(component).with(type)));
    return Ok{};
  }
  return make_error(Errc::unsupported, "type '{}' is not supported", type);
}

}  // namespace

void WholeTokenStage::push(std::string_view part, Ends ends, const TokenSink& next) {
  open_ += part;
  has_open_ = ends == Ends::no;
  if (!has_open_) token(std::exchange(open_, {}), next);
}

void WholeTokenStage::finish(const TokenSink& next) {
  if (has_open_) token(std::exchange(open_, {}), next);
  has_open_ = false;
  last(next);
}

void WholeTokenStage::last(const TokenSink&) {}

MadeDecoder make_decoder(const Json& component) {
  std::vector<MakeStage> stages;
  if (component.is_null()) {
    stages.push_back(make_join_with_spaces());
  } else {
    GLM_TRY(append(component, 0, stages).with("decoder"));
  }
  return stages;
}

}  // namespace glm::runner::tokenizing
