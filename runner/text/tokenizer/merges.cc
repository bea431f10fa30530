#include "runner/text/tokenizer/merges.h"

#include <bit>

namespace glm::runner::tokenizing {
namespace {

std::size_t hash(Pair pair) {
  const std::uint64_t both = static_cast<std::uint64_t>(static_cast<std::uint32_t>(pair.left))
                                 << 32 |
                             static_cast<std::uint32_t>(pair.right);
  std::uint64_t mixed = both * 0x9E3779B97F4A7C15ull;
  mixed ^= mixed >> 32;
  return static_cast<std::size_t>(mixed * 0xD6E8FEB86659FD93ull >> 16);
}

}  // namespace

Merges::Merges(std::size_t count) : slots_(std::bit_ceil(count * 2 + 2)) {}

std::size_t Merges::slot_of(Pair pair) const {
  const std::size_t mask = slots_.size() - 1;
  std::size_t at = hash(pair) & mask;
  while (slots_[at].pair.left >= 0 &&
         (slots_[at].pair.left != pair.left || slots_[at].pair.right != pair.right)) {
    at = (at + 1) & mask;
  }
  return at;
}

void Merges::add(Pair pair, Merge merge) {
  slots_[slot_of(pair)] = {pair, merge};
}

const Merge* Merges::find(Pair pair) const {
  const Slot& slot = slots_[slot_of(pair)];
  return slot.pair.left < 0 ? nullptr : &slot.merge;
}

}  // namespace glm::runner::tokenizing
