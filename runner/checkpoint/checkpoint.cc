#include "runner/checkpoint/checkpoint.h"

#include <algorithm>
#include <map>

#include "base/check.h"
#include "runner/checkpoint/weight_files.h"

namespace glm::runner {
namespace {

template <typename Items, typename Name>
std::vector<std::string> names_of(const Items& items, Name name) {
  std::vector<std::string> names;
  names.reserve(items.size());
  for (const auto& item : items) names.push_back(item.*name);
  return names;
}

// Takes in one more file, within what all of them may hold.
Status add(std::vector<SafetensorsFile>& files, std::size_t& tensors, SafetensorsFile file) {
  tensors += file.tensors().size();
  if (tensors > kTensorsMax) {
    return make_error(Errc::corrupt, "{}: with it the checkpoint has {} tensors, the limit is {}",
                      file.name(), tensors, kTensorsMax);
  }
  files.push_back(std::move(file));
  return Ok{};
}

}  // namespace

Result<SafetensorsIndex> read_index(const CheckpointFiles& files) {
  if (!files.contains(std::string(kSafetensorsIndexFile))) return SafetensorsIndex();
  return parse_safetensors_index(
      GLM_TRY(read_small_file(files, kSafetensorsIndexFile, kSafetensorsIndexMaxBytes)));
}

Result<Checkpoint> Checkpoint::open(const CheckpointFiles& files) {
  const SafetensorsIndex index = GLM_TRY(read_index(files));
  std::vector<SafetensorsFile> opened;
  std::size_t tensors = 0;
  for (const std::string& name :
       GLM_TRY(weight_file_names(names_of(files, &CheckpointFiles::value_type::first), index))) {
    GLM_TRY(add(opened, tensors, GLM_TRY(SafetensorsFile::open(files.at(name), name))));
  }
  Checkpoint checkpoint(std::move(opened));
  GLM_TRY(checkpoint.build_directory(index));
  return checkpoint;
}

Result<Checkpoint> Checkpoint::from_headers(const SafetensorsIndex& index,
                                            std::span<const ShardHeader> shards) {
  std::map<std::string_view, const ShardHeader*> by_name;
  for (const ShardHeader& shard : shards) by_name[shard.name] = &shard;
  std::vector<SafetensorsFile> opened;
  std::size_t tensors = 0;
  for (const std::string& name :
       GLM_TRY(weight_file_names(names_of(shards, &ShardHeader::name), index))) {
    const ShardHeader& shard = *by_name[name];
    GLM_TRY(add(opened, tensors,
                GLM_TRY(SafetensorsFile::from_header(name, shard.header, shard.file_bytes))));
  }
  Checkpoint checkpoint(std::move(opened));
  checkpoint.has_data_ = false;
  GLM_TRY(checkpoint.build_directory(index));
  return checkpoint;
}

Result<Checkpoint> Checkpoint::from_source(std::unique_ptr<const TensorSource> source) {
  Checkpoint checkpoint({});
  if (source->tensors().size() > kTensorsMax) {
    return make_error(Errc::corrupt, "the checkpoint has {} tensors, the limit is {}",
                      source->tensors().size(), kTensorsMax);
  }
  for (const TensorInfo& tensor : source->tensors()) {
    if (checkpoint.directory_.emplace(tensor.name, std::pair(&tensor, 0)).second) continue;
    return make_error(Errc::corrupt, "tensor '{}' is there twice", tensor.name);
  }
  checkpoint.source_ = std::move(source);
  checkpoint.list_tensors();
  return checkpoint;
}

Status Checkpoint::build_directory(const SafetensorsIndex& index) {
  std::size_t tensors = 0;
  for (const SafetensorsFile& file : files_) tensors += file.tensors().size();
  directory_.reserve(tensors);
  std::size_t unindexed = 0;
  for (std::size_t file = 0; file < files_.size(); ++file) {
    std::size_t repeated = 0;
    for (const TensorInfo& tensor : files_[file].tensors()) {
      const auto indexed = index.find(tensor.name);
      if (indexed != index.end() && indexed->second != files_[file].name()) {
        ++repeated;  // or nowhere else, which is found out below
        continue;
      }
      const bool first = directory_.emplace(tensor.name, std::pair(&tensor, file)).second;
      if (!first) {
        ++repeated;
      } else if (indexed == index.end()) {
        ++unindexed;
      }
    }
    if (repeated > 0) {
      notes_.push_back(fmt::format("{} of the tensors in {} are in another file as well", repeated,
                                   files_[file].name()));
    }
  }
  for (const auto& [tensor, file] : index) {
    if (directory_.contains(tensor)) continue;
    return make_error(Errc::corrupt, "{} says tensor '{}' is in {}, but it is not",
                      kSafetensorsIndexFile, tensor, file);
  }
  if (!index.empty() && unindexed > 0) {
    notes_.push_back(fmt::format("{} tensors are in no index", unindexed));
  }
  list_tensors();
  return Ok{};
}

void Checkpoint::list_tensors() {
  for (const auto& [name, place] : directory_) {
    tensors_.push_back(place.first);
    size_bytes_ += place.first->size_bytes;
  }
  std::sort(tensors_.begin(), tensors_.end(),
            [](const TensorInfo* a, const TensorInfo* b) { return a->name < b->name; });
}

const TensorInfo* Checkpoint::find(std::string_view name) const {
  const auto found = directory_.find(name);
  return found == directory_.end() ? nullptr : found->second.first;
}

Status Checkpoint::read(const TensorInfo& tensor, std::uint64_t first_byte,
                        std::span<std::byte> target) const {
  const auto found = directory_.find(tensor.name);
  GLM_CHECK(found != directory_.end() && found->second.first == &tensor);
  if (source_ != nullptr) return source_->read(tensor, first_byte, target);
  return files_[found->second.second].read(tensor, first_byte, target);
}

Result<std::vector<std::byte>> Checkpoint::read_all(const TensorInfo& tensor) const {
  std::vector<std::byte> bytes(tensor.size_bytes);
  GLM_TRY(read(tensor, 0, bytes));
  return bytes;
}

}  // namespace glm::runner
