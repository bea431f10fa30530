// Bounds what one rendering may cost. Templates come from strangers.
//
// One step is one node evaluated, or 16 bytes of text, or a quarter of a list item made; whatever a
// template does, memory stays below about a gigabyte.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/result.h"

namespace glm::runner::jinja {

inline constexpr std::int64_t kStepsMax = 40'000'000;
inline constexpr std::size_t kTextMaxBytes = 32u << 20;  // of any one string, the output included
inline constexpr int kDepthMax = 400;                    // of nested evaluation
inline constexpr int kNestingMax = 200;                  // of data, and of the template's syntax

class Meter {
 public:
  Status spend(std::size_t steps) {
    left_ -= static_cast<std::int64_t>(steps < kStepsMax ? steps : kStepsMax);
    if (left_ >= 0) return Ok{};
    return make_error(Errc::exhausted, "the template took more than {} steps", kStepsMax);
  }

  // For what cannot fail here; the next spend() does.
  void charge(std::int64_t steps) { left_ -= steps; }

  // Before a text of this size is made.
  Status text(std::size_t size_bytes) {
    if (size_bytes > kTextMaxBytes) {
      return make_error(Errc::exhausted, "the template made a text of more than {} MiB",
                        kTextMaxBytes >> 20);
    }
    return spend(size_bytes / 16);
  }

  Status items(std::size_t count) { return spend(count < kStepsMax ? count * 4 : kStepsMax); }

 private:
  std::int64_t left_ = kStepsMax;
};

}  // namespace glm::runner::jinja
