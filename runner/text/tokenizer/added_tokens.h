// Tokens that are looked for in the text itself, before anything else happens to it.
//
// Found leftmost, then longest, as Hugging Face does it: first those that are matched in the text
// as given, then, in what lies between and after normalization, the others.
//
// Thread safety: immutable.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "runner/text/tokenizer/json_fields.h"
#include "runner/text/tokenizer/normalizer.h"
#include "runner/text/tokenizer/vocabulary.h"

namespace glm::runner::tokenizing {

struct AddedToken {
  std::string content;
  std::int32_t id = 0;
  bool single_word = false;  // only between non-word characters
  bool lstrip = false;       // swallows white space before it
  bool rstrip = false;       // and after it
  bool normalized = false;   // sought in the normalized text
  bool special = false;
};

// Reads the list. Ids are given out as the reference does it, whatever the file says: the
// vocabulary's where it knows the token, or else the next one behind its count of tokens.
Result<std::vector<AddedToken>> parse_added_tokens(const Json& list, const Vocabulary& vocabulary);

class AddedTokenMatcher {
 public:
  // A stretch of text, or a token found in it.
  struct Part {
    std::string_view text;
    std::optional<std::int32_t> id;
  };

  // Pairs of what is sought and the token it belongs to.
  struct Entry {
    std::string sought;
    const AddedToken* token;
  };
  explicit AddedTokenMatcher(const std::vector<Entry>& entries);

  void cut(std::string_view text, const std::function<void(const Part&)>& sink) const;

 private:
  struct Node {
    std::vector<std::pair<unsigned char, std::int32_t>> next;  // sorted
    std::int32_t token = -1;                                   // index into tokens_
  };
  struct Match {
    std::size_t first, end;
    std::int32_t token;
  };
  std::int32_t child(std::int32_t node, unsigned char byte) const;
  std::optional<Match> find(std::string_view text, std::size_t from) const;

  std::vector<Node> nodes_;
  std::vector<bool> begins_;  // by first byte
  std::vector<AddedToken> tokens_;
};

}  // namespace glm::runner::tokenizing
