// Memory of a device with random numbers in it, for operations to run on.
//
// Thread safety: none.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <tuple>
#include <vector>

#include "base/result.h"
#include "kernels/ops.h"
#include "runner/checkpoint/random_values.h"

namespace glm::bench {

class KernelMemory {
 public:
  explicit KernelMemory(kernels::Ops& ops) : ops_(ops) {}

  // Valid until clear(). After a failure null, and so is all that comes later: status() says why.
  void* random(const runner::RandomValues& values, kernels::Dtype dtype, std::int64_t count);
  // Of the dtype of activations, of about one.
  void* activations(std::int64_t count);
  template <typename T>
  void* of(const std::vector<T>& values) {
    return of_bytes(std::as_bytes(std::span(values)));
  }
  void* empty(std::int64_t size_bytes);  // zeros
  // Weights of `experts` experts, or of one.
  kernels::ExpertsView weights(const kernels::WeightLayout& layout, std::int64_t experts = 1);

  Status status() const { return status_; }
  void clear() { buffers_.clear(); }

 private:
  void* allocate(std::uint64_t size_bytes);
  void* of_bytes(std::span<const std::byte> bytes);
  void fill(void* target, std::uint64_t size_bytes, std::span<const std::byte> block);

  kernels::Ops& ops_;
  const std::vector<std::byte>& block(const runner::RandomValues& values, kernels::Dtype dtype,
                                      std::size_t elements);

  std::vector<kernels::Buffer> buffers_;
  std::map<std::tuple<runner::RandomValues, kernels::Dtype, std::size_t>, std::vector<std::byte>>
      blocks_;  // kept by clear()
  Status status_ = Ok{};
};

}  // namespace glm::bench
