#include "runner/schedule/pool_size.h"

#include <algorithm>

#include "runner/schedule/kv_blocks.h"

namespace glm::runner {

Result<std::int64_t> pool_pages(const PoolNeeds& needs) {
  const std::int64_t wanted = pages_of(needs.context_max) * needs.running_max;
  if (needs.memory_free_bytes == 0 || needs.page_bytes == 0) return wanted;
  const std::uint64_t tenths = needs.memory == PoolMemory::of_a_device ? 9 : 5;
  const auto affordable =
      static_cast<std::int64_t>(needs.memory_free_bytes * tenths / 10 / needs.page_bytes);
  if (affordable == 0) {
    return make_error(
        Errc::exhausted,
        "memory for the context: {} bytes are free, and {} tenths of that hold no page of "
        "{} bytes ({} tokens)",
        needs.memory_free_bytes, tenths, needs.page_bytes, kPageTokens);
  }
  return std::min(wanted, affordable);
}

}  // namespace glm::runner
