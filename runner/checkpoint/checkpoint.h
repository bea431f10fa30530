// All tensors of a checkpoint, whichever file each is in.
//
// model.safetensors.index.json decides which files count; without one it is model.safetensors, or
// every .safetensors file there is. Unindexed mtp*.safetensors belong to the model as well;
// consolidated* files are copies in another layout and never do.
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

namespace glm::runner {

class Checkpoint {
 public:
  // Errc::not_found names the file that is missing, Errc::corrupt the one that is wrong.
  static Result<Checkpoint> open(const CheckpointFiles& files);

  // Null if there is none. Valid as long as the checkpoint.
  const TensorInfo* find(std::string_view name) const;

  // `tensor` must come from here.
  Status read(const TensorInfo& tensor, std::uint64_t first_byte,
              std::span<std::byte> target) const;
  Result<std::vector<std::byte>> read_all(const TensorInfo& tensor) const;

  // False where only headers are known: then nothing can be read.
  bool has_data() const { return true; }

  const std::vector<const TensorInfo*>& tensors() const { return tensors_; }  // by name
  std::uint64_t size_bytes() const { return size_bytes_; }                    // of all tensors
  const std::vector<std::string>& notes() const { return notes_; }

 private:
  Checkpoint() = default;
  void add_file(std::size_t file);

  std::vector<std::unique_ptr<SafetensorsFile>> files_;
  std::unordered_map<std::string_view, std::pair<const TensorInfo*, std::size_t>> directory_;
  std::vector<const TensorInfo*> tensors_;
  std::vector<std::string> notes_;
  std::uint64_t size_bytes_ = 0;
};

}  // namespace glm::runner
