// Tokens back to text, one after the other.
//
// A decoder is a chain of stages. Each takes tokens and hands tokens to the next, as the reference
// does with whole lists; here a token may also come in parts, so that what is certain can be shown
// while an answer is still being made. A stage holds back what later tokens may change, and no
// more, so the concatenation does not depend on when it was asked for.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "runner/text/tokenizer/json_fields.h"

namespace glm::runner::tokenizing {

// Where a stage puts its tokens: text, and whether the token ends with it.
enum class Ends { no, yes };
using TokenSink = std::function<void(std::string_view part, Ends ends)>;

// The state of one stage in one answer. Thread safety: one thread at a time.
class DecodeStage {
 public:
  virtual ~DecodeStage() = default;
  virtual void push(std::string_view part, Ends ends, const TokenSink& next) = 0;
  virtual void finish(const TokenSink& next) = 0;  // nothing comes any more
};

// A stage that looks at whole tokens.
class WholeTokenStage : public DecodeStage {
 public:
  void push(std::string_view part, Ends ends, const TokenSink& next) final;
  void finish(const TokenSink& next) final;

 private:
  virtual void token(std::string token, const TokenSink& next) = 0;
  virtual void last(const TokenSink& next);  // by default there is nothing left to say

  std::string open_;
  bool has_open_ = false;
};

// Thread safety: immutable; may be called from any thread.
using MakeStage = std::function<std::unique_ptr<DecodeStage>()>;
using MadeDecoder = Result<std::vector<MakeStage>>;

// A null component joins the tokens with spaces. Errc::unsupported names the type.
MadeDecoder make_decoder(const Json& component);

// The rows of the table in decoder.cc.
Result<MakeStage> make_bpe_decoder(const Json& component);         // decode_words.cc
Result<MakeStage> make_byte_fallback(const Json& component);       // decode_byte_fallback.cc
Result<MakeStage> make_byte_level_decoder(const Json& component);  // decode_byte_level.cc
Result<MakeStage> make_ctc(const Json& component);                 // decode_words.cc
Result<MakeStage> make_fuse(const Json& component);                // decode_fuse.cc
Result<MakeStage> make_metaspace_decoder(const Json& component);   // decode_metaspace.cc
Result<MakeStage> make_replace_decoder(const Json& component);     // decode_replace.cc
Result<MakeStage> make_strip_decoder(const Json& component);       // decode_strip.cc
Result<MakeStage> make_word_piece_decoder(const Json& component);  // decode_words.cc
MakeStage make_join_with_spaces();                                 // decode_words.cc

}  // namespace glm::runner::tokenizing
