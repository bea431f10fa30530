#include "runner/checkpoint/checkpoint.h"

#include <algorithm>
#include <map>
#include <set>

#include "base/check.h"
#include "runner/checkpoint/safetensors_index.h"

namespace glm::runner {
namespace {

constexpr std::string_view kIndexFile = "model.safetensors.index.json";
constexpr std::uint64_t kIndexMaxBytes = 100'000'000;

using Index = std::map<std::string, std::string, std::less<>>;

bool is_weights_file(std::string_view path) {
  return path.size() > 12 && path.ends_with(".safetensors") &&
         path.find('/') == std::string_view::npos && !path.starts_with("consolidated");
}

Error no_weights(const CheckpointFiles& files) {
  for (const auto& [path, file] : files) {
    const bool gguf = path.ends_with(".gguf");
    if (gguf || path.ends_with(".bin") || path.ends_with(".pt") || path.ends_with(".pth")) {
      return make_error(Errc::unsupported,
                        "no .safetensors file, only {}: {}; use the repository's safetensors form",
                        path, gguf ? "GGUF is not supported yet" : "pickle files are not loaded");
    }
  }
  return make_error(Errc::not_found, "no .safetensors file among the {} files of the checkpoint",
                    files.size());
}

// Which files count, in order.
Result<std::vector<std::string>> weight_files(const CheckpointFiles& files, const Index& index) {
  std::set<std::string> names;
  for (const auto& [tensor, file] : index) names.insert(file);
  for (const auto& [path, file] : files) {
    if (!is_weights_file(path)) continue;
    if (index.empty() || path.starts_with("mtp")) names.insert(path);
  }
  if (index.empty() && files.contains("model.safetensors")) {
    std::erase_if(names, [](const std::string& name) {
      return name != "model.safetensors" && !name.starts_with("mtp");
    });
  }
  if (names.empty()) return no_weights(files);
  for (const std::string& name : names) {
    if (!files.contains(name)) {
      return make_error(Errc::not_found, "{} names {}, which is not there; pull the model again",
                        kIndexFile, name);
    }
  }
  return std::vector<std::string>(names.begin(), names.end());
}

}  // namespace

void Checkpoint::add_file(std::size_t file) {
  std::size_t repeated = 0;
  for (const TensorInfo& tensor : files_[file]->tensors()) {
    if (!directory_.emplace(tensor.name, std::pair(&tensor, file)).second) ++repeated;
  }
  if (repeated > 0) {
    notes_.push_back(fmt::format("{} of the tensors in {} are in another file as well", repeated,
                                 files_[file]->name()));
  }
}

Result<Checkpoint> Checkpoint::open(const CheckpointFiles& files) {
  Index index;
  if (files.contains(std::string(kIndexFile))) {
    const std::string text = GLM_TRY(read_small_file(files, kIndexFile, kIndexMaxBytes));
    index = GLM_TRY(parse_safetensors_index(text));
  }
  const std::vector<std::string> names = GLM_TRY(weight_files(files, index));

  Checkpoint checkpoint;
  std::map<std::string, std::size_t, std::less<>> number_of;
  for (const std::string& name : names) {
    number_of[name] = checkpoint.files_.size();
    checkpoint.files_.push_back(
        std::make_unique<SafetensorsFile>(GLM_TRY(SafetensorsFile::open(files.at(name), name))));
  }

  // What the index says comes first: where a name is in two files, it decides.
  std::vector<std::unordered_map<std::string_view, const TensorInfo*>> by_name(names.size());
  if (!index.empty()) {
    for (std::size_t file = 0; file < names.size(); ++file) {
      for (const TensorInfo& tensor : checkpoint.files_[file]->tensors()) {
        by_name[file].emplace(tensor.name, &tensor);
      }
    }
  }
  for (const auto& [tensor, file] : index) {
    const std::size_t number = number_of.find(file)->second;
    const auto found = by_name[number].find(tensor);
    if (found == by_name[number].end()) {
      return make_error(Errc::corrupt, "{} says tensor '{}' is in {}, but it is not", kIndexFile,
                        tensor, file);
    }
    checkpoint.directory_.emplace(found->second->name, std::pair(found->second, number));
  }
  const std::size_t indexed = checkpoint.directory_.size();
  if (index.empty()) {
    for (std::size_t file = 0; file < names.size(); ++file) checkpoint.add_file(file);
  } else {
    for (std::size_t file = 0; file < names.size(); ++file) {
      for (const auto& [name, tensor] : by_name[file]) {
        checkpoint.directory_.emplace(name, std::pair(tensor, file));
      }
    }
    if (const std::size_t extra = checkpoint.directory_.size() - indexed; extra > 0) {
      checkpoint.notes_.push_back(fmt::format("{} tensors are in no index", extra));
    }
  }

  for (const auto& [name, place] : checkpoint.directory_) {
    checkpoint.tensors_.push_back(place.first);
    checkpoint.size_bytes_ += place.first->size_bytes;
  }
  std::sort(checkpoint.tensors_.begin(), checkpoint.tensors_.end(),
            [](const TensorInfo* a, const TensorInfo* b) { return a->name < b->name; });
  return checkpoint;
}

const TensorInfo* Checkpoint::find(std::string_view name) const {
  const auto found = directory_.find(name);
  return found == directory_.end() ? nullptr : found->second.first;
}

Status Checkpoint::read(const TensorInfo& tensor, std::uint64_t first_byte,
                        std::span<std::byte> target) const {
  const auto found = directory_.find(tensor.name);
  GLM_CHECK(found != directory_.end() && found->second.first == &tensor);
  return files_[found->second.second]->read(tensor, first_byte, target);
}

Result<std::vector<std::byte>> Checkpoint::read_all(const TensorInfo& tensor) const {
  std::vector<std::byte> bytes(tensor.size_bytes);
  GLM_TRY(read(tensor, 0, bytes));
  return bytes;
}

}  // namespace glm::runner
