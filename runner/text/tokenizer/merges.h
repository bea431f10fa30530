// What two neighbouring tokens become, and how urgently: a flat hash table, since encoding asks it
// several times for every character.
#pragma once

#include <cstdint>
#include <vector>

#include "base/result.h"
#include "runner/text/tokenizer/json_fields.h"
#include "runner/text/tokenizer/vocabulary.h"

namespace glm::runner::tokenizing {

struct Pair {
  std::int32_t left, right;
};

struct Merge {
  std::int32_t rank;  // lower goes first
  std::int32_t id;    // of the joined token
};

class Merges {
 public:
  explicit Merges(std::size_t count);

  // Reads "a b" or ["a", "b"], most urgent first. What two tokens become is their concatenation,
  // less the first prefix_bytes of the second one.
  static Result<Merges> read(const Json& list, const Vocabulary& vocabulary,
                             std::size_t prefix_bytes);

  // A pair given twice keeps the later merge, as the reference does. At most `count` times.
  void add(Pair pair, Merge merge);

  const Merge* find(Pair pair) const;

  template <typename Visit>
  void each(Visit visit) const {
    for (const Slot& slot : slots_) {
      if (slot.pair.left >= 0) visit(slot.pair);
    }
  }

 private:
  struct Slot {
    Pair pair{-1, -1};
    Merge merge{};
  };
  std::size_t slot_of(Pair pair) const;  // where it is or would be

  std::vector<Slot> slots_;  // a power of two, at most half full
};

}  // namespace glm::runner::tokenizing
