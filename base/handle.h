// Owns one C handle. Traits name the raw type, its empty value and how to close it. Closing cannot
// fail upward: Traits::close logs what it cannot report.
#pragma once

#include <utility>

#include "base/check.h"

namespace glm {

template <typename Traits>
class Handle {
 public:
  using Raw = typename Traits::Raw;

  Handle() = default;
  explicit Handle(Raw raw) : raw_(raw) {}
  Handle(Handle&& other) noexcept : raw_(std::exchange(other.raw_, Traits::kEmpty)) {}
  Handle& operator=(Handle&& other) noexcept {
    Handle moved(std::move(other));
    std::swap(raw_, moved.raw_);
    return *this;
  }
  ~Handle() {
    if (raw_ != Traits::kEmpty) Traits::close(raw_);
  }

  Raw get() const { return raw_; }
  explicit operator bool() const { return raw_ != Traits::kEmpty; }
  Raw release() { return std::exchange(raw_, Traits::kEmpty); }

  // For C functions that create through a pointer.
  Raw* out() {
    GLM_CHECK(raw_ == Traits::kEmpty);
    return &raw_;
  }

 private:
  Raw raw_ = Traits::kEmpty;
};

}  // namespace glm
