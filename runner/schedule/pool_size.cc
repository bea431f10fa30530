#include "runner/schedule/pool_size.h"

#include <algorithm>

#include "runner/schedule/kv_blocks.h"

namespace glm::runner {
namespace {

// Kernels are loaded when they first run, recorded steps take memory, and so does the display.
constexpr std::uint64_t kDeviceReserveBytes = 512U << 20U;

}  // namespace

Result<std::int64_t> pool_pages(const PoolNeeds& needs) {
  const std::int64_t wanted = pages_of(needs.context_max) * needs.running_max;
  if (needs.memory_free_bytes == 0 || needs.page_bytes == 0) return wanted;
  const bool device = needs.memory == PoolMemory::of_a_device;
  const std::uint64_t kept = device ? std::min(needs.memory_free_bytes, kDeviceReserveBytes)
                                    : needs.memory_free_bytes - needs.memory_free_bytes / 2;
  const auto affordable =
      static_cast<std::int64_t>((needs.memory_free_bytes - kept) / needs.page_bytes);
  if (affordable == 0) {
    return make_error(Errc::exhausted,
                      "memory for the context: {} bytes are free, {} of them are kept for other "
                      "things, and the rest holds no page of {} bytes ({} tokens)",
                      needs.memory_free_bytes, kept, needs.page_bytes, kPageTokens);
  }
  return std::min(wanted, affordable);
}

}  // namespace glm::runner
