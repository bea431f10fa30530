#include "runner/schedule/pool_size.h"

#include <algorithm>

#include "runner/schedule/kv_blocks.h"

namespace glm::runner {

Result<std::int64_t> pool_pages(const PoolNeeds& needs) {
  const std::int64_t wanted = pages_of(needs.context_max) * needs.running_max;
  if (needs.memory_free_bytes == 0 || needs.page_bytes == 0) return wanted;
  const auto affordable = static_cast<std::int64_t>(needs.memory_free_bytes / 2 / needs.page_bytes);
  if (affordable == 0) {
    return make_error(
        Errc::exhausted,
        "memory for the context: {} bytes are free, and half of that holds no page of "
        "{} bytes ({} tokens)",
        needs.memory_free_bytes, needs.page_bytes, kPageTokens);
  }
  return std::min(wanted, affordable);
}

}  // namespace glm::runner
