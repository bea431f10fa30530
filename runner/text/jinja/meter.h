// Bounds what one rendering may cost. Templates come from strangers.
//
// One step is one node evaluated, or 16 bytes of text, or a quarter of a list item made; whatever a
// template does, memory stays below about a gigabyte.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "base/result.h"

namespace glm::runner::jinja {

inline constexpr std::int64_t kStepsMax = 1ll << 40;     // of any one spending
inline constexpr std::size_t kTextMaxBytes = 32u << 20;  // of any one string, the output included
inline constexpr int kDepthMax = 400;                    // of nested evaluation
inline constexpr int kNestingMax = 200;                  // of data, and of the template's syntax

class Meter {
 public:
  explicit Meter(std::int64_t steps_max) : steps_max_(steps_max), left_(steps_max) {}

  Status spend(std::size_t steps) {
    left_ -= static_cast<std::int64_t>(std::min<std::size_t>(steps, kStepsMax));
    if (left_ >= 0) return Ok{};
    return make_error(Errc::exhausted, "the template took more than {} steps", steps_max_);
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

  Status items(std::size_t count) { return spend(std::min<std::size_t>(count, kStepsMax / 4) * 4); }

 private:
  std::int64_t steps_max_;
  std::int64_t left_;
};

}  // namespace glm::runner::jinja
