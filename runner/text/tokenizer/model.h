// Turns one piece of text into tokens: the algorithm a vocabulary was trained for.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "runner/text/tokenizer/json_fields.h"
#include "runner/text/tokenizer/vocabulary.h"

namespace glm::runner::tokenizing {

// Thread safety: const members may be called from any thread.
class TokenModel {
 public:
  virtual ~TokenModel() = default;

  virtual const Vocabulary& vocabulary() const = 0;

  // Appends the piece's tokens.
  virtual void encode(std::string_view piece, std::vector<std::int32_t>& ids) const = 0;
};

using MadeTokenModel = Result<std::unique_ptr<TokenModel>>;

// Errc::unsupported names the type.
MadeTokenModel make_token_model(const Json& component);

// The rows of the table in model.cc.
MadeTokenModel make_bpe(const Json& component);         // bpe.cc
MadeTokenModel make_unigram(const Json& component);     // unigram.cc
MadeTokenModel make_word_level(const Json& component);  // word_level.cc
MadeTokenModel make_word_piece(const Json& component);  // word_piece.cc

// "unk_token" of the last two; Errc::corrupt where the vocabulary lacks it.
Result<std::int32_t> unknown_token(const Json& component, const Vocabulary& vocabulary);

}  // namespace glm::runner::tokenizing
