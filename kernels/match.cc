#include "kernels/match.h"

#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "base/check.h"

namespace glm::kernels {

std::int64_t Dim::value() const {
  GLM_CHECK(bound());
  return value_;
}

void Match::fail(std::string_view what, std::int64_t got, std::int64_t wanted) const {
  (void)std::fprintf(stderr, "op operand %.*s: %.*s is %lld, wanted %lld\n",
                     static_cast<int>(name_.size()), name_.data(), static_cast<int>(what.size()),
                     what.data(), static_cast<long long>(got), static_cast<long long>(wanted));
  std::abort();
}

Match& Match::shape(std::initializer_list<Dim*> dims) {
  if (tensor_.rank != static_cast<int>(dims.size())) {
    fail("rank", tensor_.rank, static_cast<std::int64_t>(dims.size()));
  }
  int axis = 0;
  std::int64_t elements = 1;
  for (Dim* dim : dims) {
    const std::int64_t size = tensor_.size(axis++);
    if (size < 0) fail(dim->name_, size, 0);
    if (!dim->bound()) dim->value_ = size;
    if (dim->value_ != size) fail(dim->name_, size, dim->value_);
    elements *= size;
  }
  if (elements > 0 && tensor_.data == nullptr) fail("data", 0, 1);
  return *this;
}

Match& Match::dtype(std::initializer_list<Dtype> allowed) {
  for (const Dtype dtype : allowed) {
    if (tensor_.dtype == dtype) return *this;
  }
  fail("dtype", static_cast<std::int64_t>(tensor_.dtype),
       static_cast<std::int64_t>(*allowed.begin()));
}

Match& Match::rows_contiguous() {
  const int last = tensor_.rank - 1;
  if (tensor_.size(last) > 1 && tensor_.stride(last) != 1) {
    fail("stride of the last axis", tensor_.stride(last), 1);
  }
  return *this;
}

Match& Match::contiguous() {
  std::int64_t stride = 1;
  for (int axis = tensor_.rank - 1; axis >= 0; --axis) {
    if (tensor_.size(axis) > 1 && tensor_.stride(axis) != stride) {
      fail("stride", tensor_.stride(axis), stride);
    }
    stride *= tensor_.size(axis);
  }
  return *this;
}

Match& Match::aligned(std::int64_t alignment_bytes) {
  const auto address = reinterpret_cast<std::uintptr_t>(tensor_.data);
  const auto rest =
      static_cast<std::int64_t>(address % static_cast<std::uintptr_t>(alignment_bytes));
  if (rest != 0) fail("address modulo alignment", rest, 0);
  return *this;
}

}  // namespace glm::kernels
