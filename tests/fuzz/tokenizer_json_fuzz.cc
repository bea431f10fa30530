// A tokenizer.json, then after a zero byte a text to encode with it. What decodes is UTF-8.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "runner/text/tokenizer.h"
#include "runner/text/utf8.h"

using glm::runner::EncodeOptions;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::size_t zero = input.find('\0');
  const auto tokenizer = glm::runner::Tokenizer::parse(input.substr(0, zero));
  if (!tokenizer.ok()) {
    GLM_CHECK(!tokenizer.error().message.empty());
    return 0;
  }
  const std::string_view text =
      zero == std::string_view::npos ? "abc é 中 123  \n<|user|>" : input.substr(zero + 1);
  for (const auto added :
       {EncodeOptions::AddedTokens::control, EncodeOptions::AddedTokens::literal}) {
    const auto ids =
        tokenizer->encode(text, {.specials = EncodeOptions::Specials::add, .added_tokens = added});
    GLM_CHECK(glm::runner::is_valid_utf8(tokenizer->decode(ids)));
  }
  glm::runner::Detokenizer detokenizer(*tokenizer);
  std::vector<std::int32_t> all;
  std::string streamed;
  for (std::int32_t id = -1; id <= tokenizer->size() && id < 1000; ++id) {
    all.push_back(id);
    streamed += detokenizer.push(id);
    GLM_CHECK(glm::runner::is_valid_utf8(streamed));
  }
  GLM_CHECK(streamed + detokenizer.finish() == tokenizer->decode(all));
  return 0;
}
