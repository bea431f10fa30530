#include "runner/text/tokenizer/merges.h"

#include <bit>
#include <string>
#include <string_view>

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

struct MergeText {
  std::string_view left, right;
};

// "a b", or ["a", "b"] as newer files have it (where a token may contain a space).
Result<MergeText> merge_text(const Json& merge) {
  if (merge.is_string()) {
    const std::string_view text = merge.get_ref<const std::string&>();
    const std::size_t space = text.find(' ');
    if (space == std::string_view::npos || text.find(' ', space + 1) != std::string_view::npos) {
      return make_error(Errc::corrupt, "'{}' is not two tokens with a space between", text);
    }
    return MergeText{text.substr(0, space), text.substr(space + 1)};
  }
  if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
    return MergeText{merge[0].get_ref<const std::string&>(),
                     merge[1].get_ref<const std::string&>()};
  }
  return make_error(Errc::corrupt, "neither \"a b\" nor [\"a\", \"b\"]");
}

}  // namespace

Merges::Merges(std::size_t count) : slots_(std::bit_ceil(count * 2 + 2)) {}

Result<Merges> Merges::read(const Json& list, const Vocabulary& vocabulary,
                            std::size_t prefix_bytes) {
  if (!list.is_array()) return make_error(Errc::corrupt, "merges is not a list");
  if (list.size() > static_cast<std::size_t>(kTokensMax) * 4) {
    return make_error(Errc::exhausted, "{} merges, at most {}", list.size(), kTokensMax * 4);
  }
  Merges merges(list.size());
  std::string joined;
  std::int32_t rank = 0;
  const auto id_of = [&](std::string_view token) -> Result<std::int32_t> {
    if (const auto id = vocabulary.id_of(token)) return *id;
    return make_error(Errc::corrupt, "merge {}: '{}' is not in vocab", rank, token);
  };
  for (const Json& entry : list) {
    // Lists made from a merges.txt still have its first line.
    if (entry.is_string() && entry.get_ref<const std::string&>().starts_with("#version")) continue;
    const auto text_of_merge = merge_text(entry);
    if (!text_of_merge.ok()) {
      return Error(text_of_merge.error()).with(fmt::format("merge {}", rank));
    }
    const MergeText text = text_of_merge.value();
    const Pair pair{.left = GLM_TRY(id_of(text.left)), .right = GLM_TRY(id_of(text.right))};
    if (text.right.size() < prefix_bytes) {
      return make_error(Errc::corrupt, "merge {}: '{}' lacks the prefix", rank, text.right);
    }
    joined.assign(text.left).append(text.right.substr(prefix_bytes));
    merges.add(pair, {.rank = rank, .id = GLM_TRY(id_of(joined))});
    ++rank;
  }
  return merges;
}

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
