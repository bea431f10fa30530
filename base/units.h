// Bytes and durations as people write and read them.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace glm {

// Decimal units as disks and networks use them: "512 B", "6.2 GB".
std::string format_bytes(std::uint64_t size_bytes);

// "47 s", "4m28s", "2h03m".
std::string format_duration(std::chrono::seconds duration);

// "just now", "3 minutes ago", "2 days ago".
std::string format_age(std::chrono::seconds age);

// "5m", "1h30m", "-1s", "300" (seconds), "1.5h", "250ms". Negative means for ever where a
// keep_alive is meant. Errc::invalid_argument otherwise.
Result<std::chrono::milliseconds> parse_duration(std::string_view text);

// "0", "12": a whole number that is not negative. Errc::invalid_argument otherwise.
Result<std::uint64_t> parse_count(std::string_view text);

}  // namespace glm
