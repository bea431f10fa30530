// Tokens and their ids, both ways: all spellings behind each other, and a flat hash table of ids.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "runner/text/tokenizer/json_fields.h"

namespace glm::runner::tokenizing {

class Vocabulary {
 public:
  // Adds {"token": id, …}; ids are distinct, and may have gaps.
  Status read(const Json& vocab);

  // Keeps the spelling. Errc::corrupt when the id belongs to another token, or the token has
  // another id.
  Status add(std::string_view token, std::int32_t id);

  // The same for lists that may name a token twice: the last id counts.
  void append(std::string_view token);

  void reserve(std::size_t tokens, std::size_t bytes);

  std::optional<std::int32_t> id_of(std::string_view token) const;
  std::string_view token_of(std::int32_t id) const;  // empty: no such id, or an empty token
  bool has(std::int32_t id) const;
  std::int32_t size() const { return static_cast<std::int32_t>(tokens_.size()); }
  std::size_t count() const { return count_; }  // less than size() where ids have gaps

 private:
  static constexpr std::uint32_t kAbsent = 0xFFFFFFFF;
  struct Token {
    std::uint32_t first = kAbsent, size = 0;  // in spellings_
  };
  std::size_t slot_of(std::string_view token) const;  // where it is or would be
  void grow(std::size_t tokens);

  std::string spellings_;
  std::vector<Token> tokens_;        // by id
  std::vector<std::int32_t> slots_;  // ids; -1: free; a power of two, at most half full
  std::size_t count_ = 0;
};

}  // namespace glm::runner::tokenizing
