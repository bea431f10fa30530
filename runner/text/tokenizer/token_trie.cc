#include "runner/text/tokenizer/token_trie.h"

#include <algorithm>
#include <deque>

namespace glm::runner::tokenizing {

TokenTrie::TokenTrie(const Vocabulary& vocabulary) : nodes_(1) {
  std::vector<std::string_view> tokens;
  for (std::int32_t id = 0; id < vocabulary.size(); ++id) {
    if (!vocabulary.token_of(id).empty()) tokens.push_back(vocabulary.token_of(id));
  }
  std::sort(tokens.begin(), tokens.end());
  tokens.erase(std::unique(tokens.begin(), tokens.end()), tokens.end());

  // The tokens [first, end) share their first `depth` bytes, which lead to the node.
  struct Task {
    std::uint32_t node;
    std::size_t first, end, depth;
  };
  std::deque<Task> tasks{{0, 0, tokens.size(), 0}};
  for (; !tasks.empty(); tasks.pop_front()) {
    const Task task = tasks.front();
    const std::uint32_t node = task.node;
    const std::size_t end = task.end;
    const std::size_t depth = task.depth;
    std::size_t at = task.first;
    if (at < end && tokens[at].size() == depth) nodes_[node].id = *vocabulary.id_of(tokens[at++]);
    nodes_[node].first = static_cast<std::uint32_t>(nodes_.size());
    while (at < end) {
      const char label = tokens[at][depth];
      const auto group_end =
          std::find_if(tokens.begin() + static_cast<std::ptrdiff_t>(at),
                       tokens.begin() + static_cast<std::ptrdiff_t>(end),
                       [=](std::string_view token) { return token[depth] != label; });
      const auto next = static_cast<std::size_t>(group_end - tokens.begin());
      tasks.push_back({static_cast<std::uint32_t>(nodes_.size()), at, next, depth + 1});
      nodes_.push_back({0, -1, 0, static_cast<unsigned char>(label)});
      ++nodes_[node].count;
      at = next;
    }
  }
}

std::uint32_t TokenTrie::child(std::uint32_t node, unsigned char byte) const {
  std::uint32_t first = nodes_[node].first;
  std::uint32_t count = nodes_[node].count;
  while (count > 0) {
    const std::uint32_t half = count / 2;
    const unsigned char label = nodes_[first + half].label;
    if (label == byte) return first + half;
    if (label < byte) {
      first += half + 1;
      count -= half + 1;
    } else {
      count = half;
    }
  }
  return 0;
}

}  // namespace glm::runner::tokenizing
