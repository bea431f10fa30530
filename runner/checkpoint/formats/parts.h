// What the readers share: the tensors of one module, and the small checks and moves on them.
#pragma once

#include <cstring>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runner/checkpoint/formats.h"
#include "runner/checkpoint/quantization/label.h"

namespace glm::runner::formats {

// The tensor `<module>.<suffix>`, or null.
const TensorInfo* find_part(const Checkpoint& checkpoint, const std::string& module,
                            std::string_view suffix);

// The first of some spellings that exists.
const TensorInfo* find_part(const Checkpoint& checkpoint, const std::string& module,
                            std::initializer_list<std::string_view> suffixes);

template <typename T>
T value_at(std::span<const std::byte> bytes, std::size_t index) {
  T value;
  std::memcpy(&value, bytes.data() + index * sizeof(T), sizeof(T));
  return value;
}

template <typename T>
void put_at(std::span<std::byte> bytes, std::size_t index, T value) {
  std::memcpy(bytes.data() + index * sizeof(T), &value, sizeof(T));
}

bool is_float(kernels::Dtype dtype);  // bf16, f16, f32

// "tensor 'm.qweight': got i32 [2, 4], wanted …".
Error wrong_tensor(const TensorInfo& tensor, std::string_view wanted);

// Errc::corrupt: "tensor 'm.qzeros' is missing".
Error missing_tensor(std::string_view module, std::string_view suffix);

// The configuration says one thing, the tensors another: Errc::corrupt, with both.
struct Contradiction {
  std::string_view module;
  std::string_view what;  // "bits", "group_size"
  std::int64_t in_config = 0;
  std::int64_t in_tensors = 0;
};
Error contradiction(const Contradiction& found);

// Errc::corrupt unless bits and group, where the configuration tells them of this module, are
// these.
Status agree_with_scheme(const ModuleQuery& query, const kernels::WeightLayout& layout);

// A module without zero points: Errc::corrupt where the configuration says it is asymmetric.
Status may_lack_zero_point(const ModuleQuery& query);

// "int4 asym g32 (compressed-tensors)" of an integer layout.
std::string integer_label(const kernels::WeightLayout& layout, QuantMethod method);

// g_idx [cols] i32, the group of each column, as the order in which columns are stored: those of
// group 0 first. Errc::unsupported unless every group but the last has just `group` columns.
// Trivial where columns are in order already, or where the tensor was never set (-1).
struct ColumnOrder {
  std::vector<std::int32_t> order;
  bool trivial = true;
};
Result<ColumnOrder> read_column_order(const Checkpoint& checkpoint, const TensorInfo& g_idx,
                                      const kernels::WeightLayout& layout);

// Scales [groups, rows], as transposed formats have them, to [rows, groups].
void transpose_scales(std::span<const std::byte> scales, const kernels::WeightLayout& layout,
                      std::span<std::byte> target);

}  // namespace glm::runner::formats
