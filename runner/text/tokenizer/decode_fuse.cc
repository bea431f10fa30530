// Fuse: all tokens are one from here on.
#include "runner/text/tokenizer/decoder.h"

namespace glm::runner::tokenizing {
namespace {

class Fuse final : public DecodeStage {
 public:
  void push(std::string_view part, Ends, const TokenSink& next) override { next(part, Ends::no); }
  void finish(const TokenSink& next) override { next({}, Ends::yes); }
};

}  // namespace

Result<MakeStage> make_fuse(const Json&) {
  return MakeStage([] { return std::make_unique<Fuse>(); });
}

}  // namespace glm::runner::tokenizing
