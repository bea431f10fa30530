#include "runner/text/tokenizer/decoder.h"

#include "runner/text/tokenizer/byte_alphabet.h"

namespace glm::runner::tokenizing {
namespace {

class ByteLevelDecoder final : public Decoder {
 public:
  // A token with a character outside the alphabet is text itself, such as "<｜sep｜>".
  std::string bytes(std::string_view token) const override {
    return bytes_of_characters(token).value_or(std::string(token));
  }
};

}  // namespace

Result<std::unique_ptr<Decoder>> make_decoder(const Json& component) {
  const std::string type = component.is_null() ? "null" : type_of(component);
  if (type == "ByteLevel") return std::make_unique<ByteLevelDecoder>();
  return make_error(Errc::unsupported, "decoder: type '{}' is not supported", type);
}

}  // namespace glm::runner::tokenizing
