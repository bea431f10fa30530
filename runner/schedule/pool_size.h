// How many pages of key-value memory a model gets: the one place where that is decided.
#pragma once

#include <cstdint>

#include "base/result.h"

namespace glm::runner {

// A device is there for the model; on the host the rest of the machine wants to live as well.
enum class PoolMemory { of_the_host, of_a_device };

struct PoolNeeds {
  std::int64_t context_max = 0;         // tokens of one sequence
  std::int64_t running_max = 0;         // sequences at once
  std::uint64_t page_bytes = 0;         // of one page in all layers
  std::uint64_t memory_free_bytes = 0;  // after the weights; 0: unknown
  PoolMemory memory = PoolMemory::of_the_host;
};

// Enough for everyone's longest sequence where memory allows, never more than half of what is free
// on the host, and all but 512 MiB on a device. Errc::exhausted if that is not even one page.
Result<std::int64_t> pool_pages(const PoolNeeds& needs);

}  // namespace glm::runner
