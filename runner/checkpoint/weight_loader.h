// Loading is a claim: the caller says which tensor it wants, of which shape, and gets just that or
// an error that names the tensor, what is there and what was wanted. What nobody claimed is
// counted, so that a checkpoint with surprises says so.
//
// Thread safety: none.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "base/result.h"
#include "kernels/weight_format.h"
#include "runner/checkpoint/checkpoint.h"
#include "runner/checkpoint/formats.h"
#include "runner/checkpoint/quantization.h"

namespace glm::runner {

// Bytes that somebody is about to write: unlike a vector's they are not cleared first.
class HostBytes {
 public:
  HostBytes() = default;
  explicit HostBytes(std::size_t size)
      : bytes_(size == 0 ? nullptr : new std::byte[size]), size_(size) {}

  std::byte* data() const { return bytes_.get(); }
  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  std::span<std::byte> span() const { return {bytes_.get(), size_}; }

 private:
  std::unique_ptr<std::byte[]> bytes_;
  std::size_t size_ = 0;
};

// One weight in host memory, or those of all experts of a layer, one after the other.
struct HostWeight {
  kernels::WeightLayout layout;
  std::int64_t experts = 1;
  kernels::WeightParts<HostBytes> parts;  // each for all experts

  static HostWeight allocate(const kernels::WeightLayout& layout, std::int64_t experts = 1);
  std::span<std::byte> part(kernels::WeightPart part, std::int64_t expert = 0);
  kernels::WeightView view(std::int64_t expert = 0) const;
};

class WeightLoader {
 public:
  using Progress = std::function<void(std::uint64_t completed_bytes, std::uint64_t total_bytes)>;

  // Both must outlive the loader.
  WeightLoader(const Checkpoint& checkpoint, const Quantization& quantization, Progress progress,
               std::stop_token stop);

  // Tensors under this prefix are known and not wanted ("model.layers.47.").
  void skip(std::string_view prefix);

  bool has(std::string_view tensor) const { return checkpoint_.find(tensor) != nullptr; }

  // Whether two tensors hold the same: exporters repeat the tables of embedding and head, which
  // then need memory once. Reads no further than the first difference.
  Result<bool> same_bytes(const std::string& a, const std::string& b) const;

  // A tensor of any plain float dtype, as f32.
  Result<std::vector<float>> floats(const std::string& tensor,
                                    std::initializer_list<std::int64_t> shape);

  // The weight of a linear module in whatever format it is stored.
  Result<HostWeight> weight(const std::string& module, WeightShape shape);

  // <prefix>.<0 .. experts-1>.<name>, read and repacked on several threads. Experts stored in
  // different formats are all decoded to the plainest one that holds each of them exactly.
  Result<HostWeight> experts(const std::string& prefix, const std::string& name,
                             std::int64_t experts, WeightShape shape);

  // Rows [first_row, first_row + shape.rows) of each expert of a fused tensor
  // [experts, fused_rows, shape.cols], plain floats only.
  struct Fused {
    std::string tensor;
    std::int64_t experts = 0;
    std::int64_t fused_rows = 0;
    std::int64_t first_row = 0;
    WeightShape shape;
  };
  Result<HostWeight> fused_experts(const Fused& fused);

  // After loading: oddities of what was read, and what was neither claimed nor skipped.
  std::vector<std::string> notes() const;

 private:
  Result<const TensorInfo*> claim(const std::string& tensor,
                                  std::initializer_list<std::int64_t> shape);
  Status claim_module(const std::string& module);
  // One weight on its way from the file into memory; notes come back with it.
  struct Reading {
    std::string module;
    ModuleScheme scheme;
    StoredWeight stored;
    std::vector<std::string> notes;
  };
  Result<Reading> detect(const std::string& module, WeightShape shape) const;
  Status read(Reading& reading, HostWeight& target, std::int64_t expert) const;
  Status read_decoded(Reading& reading, HostWeight& target, std::int64_t expert) const;
  void use(const TensorInfo& tensor);
  void keep(std::vector<std::string> notes);
  std::string unused_note() const;

  const Checkpoint& checkpoint_;
  const Quantization& quantization_;
  Progress progress_;
  std::stop_token stop_;
  std::uint64_t completed_bytes_ = 0;
  std::uint64_t total_bytes_ = 0;
  std::unordered_set<const TensorInfo*> used_;
  std::vector<std::string> oddities_;  // the first few
  std::size_t oddities_more_ = 0;
};

}  // namespace glm::runner
