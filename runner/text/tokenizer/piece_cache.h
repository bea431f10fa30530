// Remembers the tokens of short pieces, since text repeats its words.
//
// A fixed number of slots, one piece each; a new piece evicts what was there. Thread safety: all
// members may be called from any thread.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/mutex.h"

namespace glm::runner::tokenizing {

class PieceCache {
 public:
  // Whether the piece was known; appends its tokens.
  bool append(std::string_view piece, std::vector<std::int32_t>& ids);

  void remember(std::string_view piece, std::span<const std::int32_t> ids);

 private:
  static constexpr std::size_t kPieceMaxBytes = 64;
  static constexpr std::size_t kShards = 32;
  static constexpr std::size_t kSlots = 256;  // per shard

  struct Slot {
    std::string piece;
    std::vector<std::int32_t> ids;
  };
  struct Shard {
    Mutex mutex;
    std::array<Slot, kSlots> slots GLM_GUARDED_BY(mutex);
  };
  std::unique_ptr<std::array<Shard, kShards>> shards_ =
      std::make_unique<std::array<Shard, kShards>>();
};

}  // namespace glm::runner::tokenizing
