#include "runner/text/tokenizer/bpe_word.h"

#include <algorithm>

namespace glm::runner::tokenizing {

void BpeWord::add(std::int32_t id) {
  const auto at = static_cast<std::int32_t>(symbols_.size());
  if (at > 0) symbols_.back().next = at;
  symbols_.push_back({id, at - 1, -1});
}

const Merge* BpeWord::merge_at(const Merges& merges, std::int32_t at) const {
  const Symbol& left = symbols_[static_cast<std::size_t>(at)];
  if (left.next < 0) return nullptr;
  return merges.find({left.id, symbols_[static_cast<std::size_t>(left.next)].id});
}

void BpeWord::consider(const Merges& merges, std::int32_t at) {
  if (at < 0) return;
  if (const Merge* merge = merge_at(merges, at)) {
    heap_.push_back({merge->rank, at, merge->id});
    std::push_heap(heap_.begin(), heap_.end());
  }
}

void BpeWord::join(const Merges& merges) {
  heap_.clear();
  const auto count = static_cast<std::int32_t>(symbols_.size());
  for (std::int32_t at = 0; at < count; ++at) {
    if (const Merge* merge = merge_at(merges, at)) heap_.push_back({merge->rank, at, merge->id});
  }
  std::make_heap(heap_.begin(), heap_.end());
  while (!heap_.empty()) {
    const Candidate best = heap_.front();
    std::pop_heap(heap_.begin(), heap_.end());
    heap_.pop_back();
    Symbol& left = symbol(best.at);
    if (left.gone) continue;
    const Merge* merge = merge_at(merges, best.at);
    if (merge == nullptr || merge->id != best.id) continue;  // one of them has changed since
    Symbol& right = symbol(left.next);
    left.id = merge->id;
    left.next = right.next;
    right.gone = true;
    if (left.next >= 0) symbol(left.next).previous = best.at;
    consider(merges, left.previous);
    consider(merges, best.at);
  }
}

void BpeWord::append_to(std::vector<std::int32_t>& ids) const {
  for (const Symbol& symbol : symbols_) {
    if (!symbol.gone) ids.push_back(symbol.id);
  }
}

}  // namespace glm::runner::tokenizing
