// ByteLevel: visible characters back to bytes, and all of them into one token.
#include "runner/text/tokenizer/byte_alphabet.h"
#include "runner/text/tokenizer/decoder.h"
#include "runner/text/utf8_stream.h"

namespace glm::runner::tokenizing {
namespace {

class ByteLevelDecoder final : public DecodeStage {
 public:
  void push(std::string_view part, Ends ends, const TokenSink& next) override {
    open_ += part;
    if (ends == Ends::no) return;
    // A token with a character outside the alphabet is text itself, such as "<｜sep｜>".
    const auto bytes = bytes_of_characters(open_);
    next(stream_.push(bytes ? *bytes : open_), Ends::no);
    open_.clear();
  }

  void finish(const TokenSink& next) override { next(stream_.finish(), Ends::yes); }

 private:
  std::string open_;
  Utf8Stream stream_;
};

}  // namespace

Result<MakeStage> make_byte_level_decoder(const Json&) {
  return MakeStage([] { return std::make_unique<ByteLevelDecoder>(); });
}

}  // namespace glm::runner::tokenizing
