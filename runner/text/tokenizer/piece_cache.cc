#include "runner/text/tokenizer/piece_cache.h"

#include <functional>

namespace glm::runner::tokenizing {

bool PieceCache::append(std::string_view piece, std::vector<std::int32_t>& ids) {
  if (piece.size() > kPieceMaxBytes) return false;
  const std::size_t hash = std::hash<std::string_view>{}(piece);
  Shard& shard = (*shards_)[hash % kShards];
  MutexLock lock(shard.mutex);
  const Slot& slot = shard.slots[hash / kShards % kSlots];
  if (slot.ids.empty() || slot.piece != piece) return false;
  ids.insert(ids.end(), slot.ids.begin(), slot.ids.end());
  return true;
}

void PieceCache::remember(std::string_view piece, std::span<const std::int32_t> ids) {
  if (piece.size() > kPieceMaxBytes) return;
  const std::size_t hash = std::hash<std::string_view>{}(piece);
  Shard& shard = (*shards_)[hash % kShards];
  MutexLock lock(shard.mutex);
  Slot& slot = shard.slots[hash / kShards % kSlots];
  slot.piece = piece;
  slot.ids.assign(ids.begin(), ids.end());
}

}  // namespace glm::runner::tokenizing
