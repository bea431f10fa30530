#include "cmd/bench/kernel_memory.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace glm::bench {
namespace {

using kernels::Dtype;
using kernels::WeightFormat;
using kernels::WeightPart;
using Kind = runner::RandomValues::Kind;

constexpr std::size_t kBlockElements = 1'000'000;

runner::RandomValues values_of(const kernels::WeightLayout& layout, WeightPart part) {
  const double deviation = 1 / std::sqrt(static_cast<double>(layout.cols));
  if (part == WeightPart::scales) return {.kind = Kind::spread, .a = deviation / 4.3};
  if (layout.format == WeightFormat::int4_group) return {.kind = Kind::nibbles, .a = 1, .b = 15};
  return {.kind = Kind::normal, .a = 0, .b = deviation};
}

Dtype dtype_of(const kernels::WeightLayout& layout, WeightPart part) {
  if (part == WeightPart::scales) return layout.scale_dtype;
  return layout.format == WeightFormat::int4_group ? Dtype::u8 : Dtype::bf16;
}

}  // namespace

void* KernelMemory::allocate(std::uint64_t size_bytes) {
  if (!status_.ok()) return nullptr;
  Result<kernels::Buffer> buffer = ops_.allocate(size_bytes);
  if (!buffer.ok()) {
    status_ = std::move(buffer).error();
    return nullptr;
  }
  buffers_.push_back(std::move(buffer).value());
  return buffers_.back().data();
}

// The block over and over.
void KernelMemory::fill(void* target, std::uint64_t size_bytes, std::span<const std::byte> block) {
  if (target == nullptr) return;
  for (std::uint64_t at = 0; at < size_bytes; at += block.size()) {
    const auto count = std::min<std::uint64_t>(block.size(), size_bytes - at);
    ops_.upload(static_cast<std::byte*>(target) + at, block.first(static_cast<std::size_t>(count)));
  }
  if (const Status done = ops_.sync(); !done.ok() && status_.ok()) status_ = done;
}

void* KernelMemory::of_bytes(std::span<const std::byte> bytes) {
  void* memory = allocate(bytes.size());
  if (!bytes.empty()) fill(memory, bytes.size(), bytes);
  return memory;
}

void* KernelMemory::empty(std::int64_t size_bytes) {
  return of(std::vector<std::byte>(static_cast<std::size_t>(size_bytes)));
}

const std::vector<std::byte>& KernelMemory::block(const runner::RandomValues& values, Dtype dtype,
                                                  std::size_t elements) {
  std::vector<std::byte>& known = blocks_[{values, dtype, elements}];
  if (known.empty()) known = runner::random_block(values, dtype, elements);
  return known;
}

void* KernelMemory::random(const runner::RandomValues& values, Dtype dtype, std::int64_t count) {
  const auto size_bytes = static_cast<std::uint64_t>(count * kernels::size_bytes(dtype));
  void* memory = allocate(size_bytes);
  fill(memory, size_bytes,
       block(values, dtype, std::min(static_cast<std::size_t>(count), kBlockElements)));
  return memory;
}

void* KernelMemory::activations(std::int64_t count) {
  return random({.kind = Kind::normal, .a = 0, .b = 1}, ops_.activation_dtype(), count);
}

kernels::ExpertsView KernelMemory::weights(const kernels::WeightLayout& layout,
                                           std::int64_t experts) {
  kernels::ExpertsView view{.layout = layout, .experts = experts};
  for (const WeightPart part : {WeightPart::data, WeightPart::scales}) {
    const std::int64_t size_bytes = experts * layout.bytes(part);
    if (size_bytes == 0) continue;
    const Dtype dtype = dtype_of(layout, part);
    view.parts[static_cast<std::size_t>(part)] =
        random(values_of(layout, part), dtype, size_bytes / kernels::size_bytes(dtype));
  }
  return view;
}

}  // namespace glm::bench
