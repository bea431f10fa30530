// Text to token ids and back, as the checkpoint's tokenizer.json says.
//
// Implements the pipeline of Hugging Face `tokenizers` (added tokens, normalizer, pre-tokenizer,
// model, post-processor, decoder) and gives the same ids. What a file asks for and we do not have
// is refused by name when the file is read, never approximated. The components live in
// runner/text/tokenizer/, one table each: adding a kind is one file and one row.
//
// Thread safety: all const members may be called from any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace glm::runner {

struct EncodeOptions {
  // Whether the post-processor adds its tokens ("[gMASK]<sop>"). A rendered chat prompt already
  // has them; a raw completion prompt does not.
  enum class Specials { omit, add };
  Specials specials = Specials::omit;

  // Whether "<|user|>" in the text is the control token or nine harmless characters. Templates
  // need control; text from people who must not steer the conversation wants literal.
  enum class AddedTokens { control, literal };
  AddedTokens added_tokens = AddedTokens::control;
};

struct DecodeOptions {
  enum class Specials { keep, skip };
  Specials specials = Specials::keep;
};

class Tokenizer {
 public:
  // Errc::corrupt: not a tokenizer.json, with the place. Errc::unsupported: names the component.
  // Errc::exhausted: larger than any tokenizer we know (256 MiB, 4 million tokens).
  static Result<Tokenizer> parse(std::string_view tokenizer_json);

  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;
  ~Tokenizer();

  // Bytes that are not UTF-8 are read as U+FFFD. Time is n log n at worst, whatever the text.
  std::vector<std::int32_t> encode(std::string_view utf8, EncodeOptions options = {}) const;

  // Well-formed UTF-8; ids that do not exist contribute nothing. See Detokenizer for answers that
  // are still being made.
  std::string decode(std::span<const std::int32_t> ids, DecodeOptions options = {}) const;

  // The id of a token by its spelling in the file ("<|user|>", "Ġthe").
  std::optional<std::int32_t> id_of(std::string_view token) const;

  // The spelling in the file; empty for ids that do not exist.
  std::string_view token_of(std::int32_t id) const;

  // One more than the largest id; rows of the model's table from here on are padding.
  std::int32_t size() const;

  // Marked special in the file. Do not take it for "is a control token": chat models leave
  // "<think>" and "<tool_call>" unmarked.
  bool is_special(std::int32_t id) const;

  // Listed under added_tokens: never produced from ordinary text, always matched whole.
  bool is_added(std::int32_t id) const;

 private:
  friend class Detokenizer;
  struct Parts;
  explicit Tokenizer(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

// Token ids to text as they come. The texts, one behind the other, are what Tokenizer::decode makes
// of all the ids; each is whole characters. What later tokens may still change waits: part of a
// character, a run of byte tokens, a space that goes if it is the last.
//
// Thread safety: one thread at a time. The tokenizer must outlive it, and may be moved meanwhile.
class Detokenizer {
 public:
  explicit Detokenizer(const Tokenizer& tokenizer, DecodeOptions options = {});
  ~Detokenizer();

  std::string push(std::int32_t id);

  // What waited. Afterwards the next text begins.
  std::string finish();

 private:
  class Chain;
  const Tokenizer::Parts* parts_;
  DecodeOptions options_;
  std::unique_ptr<Chain> chain_;
};

}  // namespace glm::runner
