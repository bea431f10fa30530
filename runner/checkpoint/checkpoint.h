// All tensors of a checkpoint, whichever file each is in.
//
// weight_files.h says which files count. Where a name is in several of them, the index decides,
// and without one the first file by name.
//
// Thread safety: const members may be called from any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "runner/checkpoint/checkpoint_files.h"
#include "runner/checkpoint/safetensors.h"
#include "runner/checkpoint/safetensors_index.h"
#include "runner/checkpoint/tensor_source.h"

namespace glm::runner {

// The beginning of a weight file that is elsewhere.
struct ShardHeader {
  std::string name;              // "model-00001-of-00004.safetensors"
  std::string header;            // the JSON alone
  std::uint64_t file_bytes = 0;  // of the whole file
};

// model.safetensors.index.json, or an empty index if there is none.
Result<SafetensorsIndex> read_index(const CheckpointFiles& files);

class Checkpoint {
 public:
  // Errc::not_found names the file that is missing, Errc::corrupt the one that is wrong.
  static Result<Checkpoint> open(const CheckpointFiles& files);

  // From headers alone: as open() in all but this, that reading a tensor is Errc::unsupported. An
  // empty `index` stands for none. The headers needed are those of weight_file_names(); others
  // are left aside.
  static Result<Checkpoint> from_headers(const SafetensorsIndex& index,
                                         std::span<const ShardHeader> shards);

  // From no files at all. Errc::corrupt: a name comes twice, or there are too many.
  static Result<Checkpoint> from_source(std::unique_ptr<const TensorSource> source);

  // False: from headers alone, so that whoever looks at tensors has dtypes and shapes to go by.
  bool has_data() const { return has_data_; }

  // Null if there is none. Valid as long as the checkpoint.
  const TensorInfo* find(std::string_view name) const;

  // `tensor` must come from here.
  Status read(const TensorInfo& tensor, std::uint64_t first_byte,
              std::span<std::byte> target) const;
  Result<std::vector<std::byte>> read_all(const TensorInfo& tensor) const;

  const std::vector<const TensorInfo*>& tensors() const { return tensors_; }  // by name
  std::uint64_t size_bytes() const { return size_bytes_; }                    // of all tensors
  const std::vector<std::string>& notes() const { return notes_; }

 private:
  explicit Checkpoint(std::vector<SafetensorsFile> files) : files_(std::move(files)) {}
  Status build_directory(const SafetensorsIndex& index);
  void list_tensors();

  std::vector<SafetensorsFile> files_;
  std::unique_ptr<const TensorSource> source_;  // where there are no files
  std::unordered_map<std::string_view, std::pair<const TensorInfo*, std::size_t>> directory_;
  std::vector<const TensorInfo*> tensors_;
  std::vector<std::string> notes_;
  std::uint64_t size_bytes_ = 0;
  bool has_data_ = true;
};

}  // namespace glm::runner
