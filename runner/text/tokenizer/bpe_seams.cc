#include "runner/text/tokenizer/bpe_seams.h"

#include <utility>

#include "runner/text/utf8.h"

namespace glm::runner::tokenizing {

BpeSeams::BpeSeams(const Merges& merges, const Vocabulary& vocabulary) : joined_(64) {
  merges.each([&](Pair pair) {
    const std::string_view left = vocabulary.token_of(pair.left);
    const std::string_view right = vocabulary.token_of(pair.right);
    if (left.empty() || right.empty()) return;
    const std::uint64_t found =
        key(utf8_character(left, previous_character(left, left.size())).code_point,
            utf8_character(right, 0).code_point);
    std::uint64_t& slot = joined_[slot_of(found)];
    if (slot == found) return;
    slot = found;
    if (++count_ * 4 < joined_.size()) return;
    const auto before = std::exchange(joined_, std::vector<std::uint64_t>(joined_.size() * 4));
    for (const std::uint64_t kept : before) {
      if (kept != 0) joined_[slot_of(kept)] = kept;
    }
  });
}

std::size_t BpeSeams::slot_of(std::uint64_t key) const {
  const std::size_t mask = joined_.size() - 1;
  std::size_t at = static_cast<std::size_t>((key * 0x9E3779B97F4A7C15ull) >> 20) & mask;
  while (joined_[at] != 0 && joined_[at] != key) at = (at + 1) & mask;
  return at;
}

bool BpeSeams::between(char32_t left, char32_t right) const {
  if (joined_.empty() || (left == 0 && right == 0)) return false;
  return joined_[slot_of(key(left, right))] == 0;
}

}  // namespace glm::runner::tokenizing
