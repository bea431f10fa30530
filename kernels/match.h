// The shape comment of a contract, run as code: symbolic sizes bind on first use and must agree
// from then on. A mismatch is a bug of the caller; it aborts and names operand and dimension.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string_view>

#include "kernels/tensor_view.h"

namespace glm::kernels {

class Dim {
 public:
  explicit Dim(std::string_view name) : name_(name) {}
  Dim(std::string_view name, std::int64_t value) : name_(name), value_(value) {}

  std::string_view name() const { return name_; }
  bool bound() const { return value_ >= 0; }
  std::int64_t value() const;

 private:
  friend class Match;
  std::string_view name_;
  std::int64_t value_ = -1;
};

class Match {
 public:
  Match(const ConstTensorView& tensor, std::string_view name) : tensor_(tensor), name_(name) {}

  Match& shape(std::initializer_list<Dim*> dims);
  Match& dtype(std::initializer_list<Dtype> allowed);
  Match& rows_contiguous();  // the last axis has stride 1
  Match& contiguous();
  Match& aligned(std::int64_t alignment_bytes);

 private:
  [[noreturn]] void fail(std::string_view what, std::int64_t got, std::int64_t wanted) const;

  const ConstTensorView& tensor_;
  std::string_view name_;
};

inline Match match(const ConstTensorView& tensor, std::string_view name) {
  return {tensor, name};
}

}  // namespace glm::kernels
