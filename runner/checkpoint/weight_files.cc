#include "runner/checkpoint/weight_files.h"

#include <algorithm>
#include <set>

namespace glm::runner {
namespace {

bool is_weights_file(std::string_view path) {
  return path.size() > 12 && path.ends_with(".safetensors") &&
         path.find('/') == std::string_view::npos && !path.starts_with("consolidated");
}

Error no_weights(std::span<const std::string> names) {
  for (const std::string& path : names) {
    const bool gguf = path.ends_with(".gguf");
    if (gguf || path.ends_with(".bin") || path.ends_with(".pt") || path.ends_with(".pth")) {
      return make_error(Errc::unsupported,
                        "no .safetensors file, only {}: {}; use the repository's safetensors form",
                        path, gguf ? "GGUF is not supported yet" : "pickle files are not loaded");
    }
  }
  return make_error(Errc::not_found, "no .safetensors file among the {} files of the checkpoint",
                    names.size());
}

}  // namespace

Result<std::vector<std::string>> weight_file_names(std::span<const std::string> names,
                                                   const SafetensorsIndex& index) {
  const std::set<std::string_view> present(names.begin(), names.end());
  std::set<std::string> weights;
  for (const auto& [tensor, file] : index) weights.insert(file);
  const bool single = index.empty() && present.contains("model.safetensors");
  for (const std::string& name : names) {
    if (!is_weights_file(name)) continue;
    const bool counts = single ? name == "model.safetensors" : index.empty();
    if (counts || name.starts_with("mtp")) weights.insert(name);
  }
  if (weights.empty()) return no_weights(names);
  for (const std::string& name : weights) {
    if (!present.contains(name)) {
      return make_error(Errc::not_found, "{} names {}, which is not there; pull the model again",
                        kSafetensorsIndexFile, name);
    }
  }
  return std::vector<std::string>(weights.begin(), weights.end());
}

}  // namespace glm::runner
