// The dimensions of GLM-4.7-Flash, and activations and layouts by them; for kernel_cases.h alone.
#pragma once

#include <cstdint>
#include <string>

#include "cmd/bench/kernel_cases.h"
#include "kernels/tensor_view.h"
#include "kernels/weight_format.h"

namespace glm::bench {

constexpr std::int64_t kHidden = 2048;
constexpr std::int64_t kHeads = 20;
constexpr std::int64_t kQRank = 768;
constexpr std::int64_t kKvRank = 512;
constexpr std::int64_t kNope = 192;
constexpr std::int64_t kRope = 64;
constexpr std::int64_t kValue = 256;
constexpr std::int64_t kExperts = 64;
constexpr std::int64_t kChosen = 4;
constexpr std::int64_t kInner = 1536;
constexpr std::int64_t kDense = 10240;
constexpr std::int64_t kVocab = 154880;
constexpr std::int64_t kContext = 1024;  // of every sequence that decodes

// Up to here a step decodes, a token for each sequence; beyond it is a prompt.
constexpr std::int64_t kDecodeMax = 64;
constexpr std::int64_t kLogitsMax = 256;  // rows of them in a step

inline kernels::WeightLayout int4(std::int64_t rows, std::int64_t cols) {
  return {.format = kernels::WeightFormat::int4_group, .rows = rows, .cols = cols, .group = 32};
}
inline kernels::WeightLayout bf16(std::int64_t rows, std::int64_t cols) {
  return {.format = kernels::WeightFormat::bf16, .rows = rows, .cols = cols};
}
inline std::string form_of(const kernels::WeightLayout& layout) {
  return layout.format == kernels::WeightFormat::bf16 ? "bf16" : "int4";
}

inline double element_bytes(const kernels::Ops& ops) {
  return static_cast<double>(kernels::size_bytes(ops.activation_dtype()));
}

inline kernels::TensorView matrix(KernelMemory& memory, const kernels::Ops& ops, std::int64_t rows,
                                  std::int64_t cols) {
  return {memory.activations(rows * cols), ops.activation_dtype(), {rows, cols}};
}
inline kernels::TensorView heads(KernelMemory& memory, const kernels::Ops& ops, std::int64_t tokens,
                                 std::int64_t width) {
  return {
      memory.activations(tokens * kHeads * width), ops.activation_dtype(), {tokens, kHeads, width}};
}

// The rows of kernel_rows(), by what they are about.
std::vector<KernelRow> attention_rows();  // from the latents to the values of the heads
KernelRow linear_row(const kernels::WeightLayout& layout);
KernelRow gated_row(const kernels::WeightLayout& layout);
KernelRow router_row();
KernelRow experts_row();

}  // namespace glm::bench
