// Between which characters no merge can ever happen.
//
// A text without a pre-tokenizer is one piece, and joining it as a whole costs n log n with a table
// that no cache holds. But a merge joins the last character of one token to the first of another:
// where no merge has these two, the text can be cut before anything is joined, and the result is
// the same. In practice that is before nearly every "▁".
#pragma once

#include <cstdint>
#include <vector>

#include "runner/text/tokenizer/merges.h"
#include "runner/text/tokenizer/vocabulary.h"

namespace glm::runner::tokenizing {

// Thread safety: immutable.
class BpeSeams {
 public:
  BpeSeams() = default;  // knows of none
  BpeSeams(const Merges& merges, const Vocabulary& vocabulary);

  // Only between two characters that are tokens themselves.
  bool between(char32_t left, char32_t right) const;

 private:
  static std::uint64_t key(char32_t left, char32_t right) {
    return static_cast<std::uint64_t>(left) << 32 | right;
  }
  std::size_t slot_of(std::uint64_t key) const;

  std::vector<std::uint64_t> joined_;  // a hash set of those that can be joined; 0: free
  std::size_t count_ = 0;
};

}  // namespace glm::runner::tokenizing
