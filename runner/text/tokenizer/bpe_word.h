// The symbols of one piece while byte-pair encoding joins them.
//
// A doubly linked list in an array; a heap holds the merges that were possible when they were
// pushed, and a popped one counts only if its two symbols are still what they were. So a piece of n
// symbols costs n log n, however hostile.
#pragma once

#include <cstdint>
#include <vector>

#include "runner/text/tokenizer/merges.h"

namespace glm::runner::tokenizing {

// Thread safety: one thread at a time.
class BpeWord {
 public:
  void clear() { symbols_.clear(); }
  void add(std::int32_t id);

  // Joins the neighbours whose merge was learnt first, the leftmost of equals, until none can be.
  void join(const Merges& merges);

  void append_to(std::vector<std::int32_t>& ids) const;

 private:
  struct Symbol {
    std::int32_t id;
    std::int32_t previous, next;  // -1: none
    bool gone = false;            // joined to the one before
  };
  struct Candidate {
    std::int32_t rank;
    std::int32_t at;  // the left one
    std::int32_t id;  // what it would become
    // The heap's top is the smallest rank, then the leftmost.
    bool operator<(const Candidate& other) const {
      return rank != other.rank ? rank > other.rank : at > other.at;
    }
  };

  Symbol& symbol(std::int32_t at) { return symbols_[static_cast<std::size_t>(at)]; }
  // The merge of a symbol and the one behind it, if there is one.
  const Merge* merge_at(const Merges& merges, std::int32_t at) const;
  void consider(const Merges& merges, std::int32_t at);

  std::vector<Symbol> symbols_;
  std::vector<Candidate> heap_;
};

}  // namespace glm::runner::tokenizing
