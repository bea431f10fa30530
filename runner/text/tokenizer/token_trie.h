// Which tokens a text begins with: a trie over their bytes, the children of a node side by side.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "runner/text/tokenizer/vocabulary.h"

namespace glm::runner::tokenizing {

// Thread safety: immutable.
class TokenTrie {
 public:
  // Of all tokens of the vocabulary but empty ones.
  explicit TokenTrie(const Vocabulary& vocabulary);

  // Calls visit(size in bytes, id) for every token that the text begins with, shortest first.
  template <typename Visit>
  void each_prefix(std::string_view text, Visit visit) const {
    std::uint32_t node = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
      node = child(node, static_cast<unsigned char>(text[i]));
      if (node == 0) return;
      if (nodes_[node].id >= 0) visit(i + 1, nodes_[node].id);
    }
  }

 private:
  struct Node {
    std::uint32_t first = 0;  // its first child
    std::int32_t id = -1;     // the token that ends here
    std::uint16_t count = 0;  // of children, in order of their bytes
    unsigned char label = 0;  // the byte that leads here
  };
  std::uint32_t child(std::uint32_t node, unsigned char byte) const;  // 0: none

  std::vector<Node> nodes_;
};

}  // namespace glm::runner::tokenizing
