// Metaspace: "▁" is a space; in the first token it is nothing, unless none was put there.
#include <utility>

#include "runner/text/tokenizer/decoder.h"
#include "runner/text/tokenizer/metaspace.h"

namespace glm::runner::tokenizing {
namespace {

class MetaspaceDecoder final : public WholeTokenStage {
 public:
  explicit MetaspaceDecoder(MetaspaceSettings settings) : settings_(std::move(settings)) {}

 private:
  void token(std::string token, const TokenSink& next) override {
    const bool vanishes = is_first_ && settings_.prepend != MetaspaceSettings::Prepend::never;
    is_first_ = false;
    std::string text;
    std::size_t done = 0;
    for (std::size_t at; (at = token.find(settings_.replacement, done)) != std::string::npos;) {
      text.append(token, done, at - done);
      if (!vanishes) text += ' ';
      done = at + settings_.replacement.size();
    }
    next(text.append(token, done), Ends::yes);
  }

  MetaspaceSettings settings_;
  bool is_first_ = true;
};

}  // namespace

Result<MakeStage> make_metaspace_decoder(const Json& component) {
  MetaspaceSettings settings = GLM_TRY(read_metaspace(component));
  return MakeStage([settings] { return std::make_unique<MetaspaceDecoder>(settings); });
}

}  // namespace glm::runner::tokenizing
