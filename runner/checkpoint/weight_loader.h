// Loading is a claim: the caller says which tensor it wants, of which shape, and gets just that or
// an error that names the tensor, what is there and what was wanted. What nobody claimed is
// counted, so that a checkpoint with surprises says so.
//
// A claim looks at headers, sets memory aside and comes back; several threads then read, repack and
// upload, in the order of the claims, while the caller goes on to the next. finish() waits for
// them. So what headers tell is found first, and of what is wrong with the data the earliest
// claim's.
//
// Thread safety: none, for the caller.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <initializer_list>
#include <stop_token>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "base/result.h"
#include "kernels/ops.h"
#include "runner/checkpoint/checkpoint.h"
#include "runner/checkpoint/device_weight.h"
#include "runner/checkpoint/formats.h"
#include "runner/checkpoint/load_queue.h"
#include "runner/checkpoint/quantization.h"

namespace glm::runner {

struct LoadProgress {
  std::uint64_t completed_bytes = 0;
  std::uint64_t total_bytes = 0;
  LoadTimes times;
};

class WeightLoader {
 public:
  using Progress = std::function<void(const LoadProgress&)>;

  // All three must outlive the loader, `progress` is called on the caller's thread.
  WeightLoader(const Checkpoint& checkpoint, const Quantization& quantization, kernels::Ops& ops,
               Progress progress, std::stop_token stop);

  // Tensors under this prefix are known and not wanted ("model.layers.47.").
  void skip(std::string_view prefix);

  bool has(std::string_view tensor) const { return checkpoint_.find(tensor) != nullptr; }

  // Whether two tensors hold the same: exporters repeat the tables of embedding and head, which
  // then need memory once. Reads no further than the first difference.
  Result<bool> same_bytes(const std::string& a, const std::string& b) const;

  // A tensor of any plain float dtype, as f32. Read at once.
  Result<std::vector<float>> floats(const std::string& tensor,
                                    std::initializer_list<std::int64_t> shape);

  // The weight of a linear module in whatever format it is stored.
  Result<DeviceWeight> weight(const std::string& module, WeightShape shape);

  // Weights that take the same input, `cols` wide: one with their rows under each other where all
  // are stored alike, so that one operation serves them; otherwise one for each.
  struct Stacked {
    std::string module;
    std::int64_t rows = 0;
  };
  Result<std::vector<DeviceWeight>> stacked(std::initializer_list<Stacked> modules,
                                            std::int64_t cols);

  // <prefix>.<0 .. experts-1>.<name>. Experts stored in different formats are all decoded to the
  // plainest one that holds each of them exactly.
  Result<DeviceWeight> experts(const std::string& prefix, const std::string& name,
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
  Result<DeviceWeight> fused_experts(const Fused& fused);

  // Returns when every weight claimed is in its memory. Errc::cancelled after a stop.
  Status finish();

  // After finish(): oddities of what was read, and what was neither claimed nor skipped.
  std::vector<std::string> notes() const;

 private:
  // One weight on its way from the file into memory; notes come back with it.
  struct Reading {
    std::string module;
    ModuleScheme scheme;
    StoredWeight stored;
    std::uint64_t file_bytes = 0;
    std::vector<std::string> notes;
  };
  // A stretch of a tensor that is in memory as it is in the file.
  struct Copy {
    const TensorInfo* tensor = nullptr;
    std::uint64_t first_byte = 0;
    DeviceWeight weight;
    std::int64_t expert = 0;
  };

  Result<const TensorInfo*> claim(const std::string& tensor,
                                  std::initializer_list<std::int64_t> shape);
  Result<Reading*> claim_module(const std::string& module, WeightShape shape);
  kernels::WeightLayout in_memory(const kernels::WeightLayout& stored) const;
  void fetch(Reading& reading, const DeviceWeight& weight, std::int64_t expert);
  void copy(const Copy& copy);
  Status read(Reading& reading, const WeightMemory& memory) const;
  Status read_decoded(Reading& reading, kernels::WeightFormat format,
                      const WeightMemory& memory) const;
  std::uint64_t use(const TensorInfo& tensor);
  void report(const LoadQueue::Done& done);
  std::string unused_note() const;

  const Checkpoint& checkpoint_;
  const Quantization& quantization_;
  kernels::Ops& ops_;
  Progress progress_;
  std::stop_token stop_;
  std::uint64_t completed_bytes_ = 0;  // by the caller's own thread
  std::uint64_t total_bytes_ = 0;
  std::uint64_t reported_bytes_ = 0;
  std::unordered_set<const TensorInfo*> used_;
  std::deque<Reading> readings_;  // in the order of claims, each in its place for good
  LoadQueue queue_;               // ends first: its jobs use the above
};

}  // namespace glm::runner
