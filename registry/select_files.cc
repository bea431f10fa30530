#include "registry/select_files.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "registry/redact.h"
#include "registry/safe_path.h"

namespace glm::registry {
namespace {

constexpr std::array<std::string_view, 23> kSmallFiles = {
    "config.json", "generation_config.json", kIndexFile,
    // tokenizer
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "vocab.json", "merges.txt", "vocab.txt", "tokenizer.model", "tekken.json",
    // chat
    "chat_template.jinja", "chat_template.json",
    // quantization
    "quantize_config.json", "quant_config.json", "hf_quant_config.json",
    "quantization_config.json", "recipe.yaml",
    // images and video
    "preprocessor_config.json", "processor_config.json", "video_preprocessor_config.json",
    // paper
    "README.md"};

// Repositories can carry a large README or tokenizer, but nothing here is gigabytes.
constexpr std::uint64_t kSmallSizeMax = 256ull << 20;

bool is_small_file(std::string_view path) {
  if (std::find(kSmallFiles.begin(), kSmallFiles.end(), path) != kSmallFiles.end()) return true;
  if (path.starts_with("additional_chat_templates/") && path.ends_with(".jinja")) return true;
  return path.find('/') == std::string_view::npos &&
         (path.starts_with("LICENSE") || path.starts_with("NOTICE"));
}

bool at_root(std::string_view path) { return path.find('/') == std::string_view::npos; }

const RemoteFile* find(const Snapshot& snapshot, std::string_view path) {
  const auto it = std::find_if(snapshot.files.begin(), snapshot.files.end(),
                               [&](const RemoteFile& file) { return file.path == path; });
  return it == snapshot.files.end() ? nullptr : &*it;
}

bool any_ends_with(const Snapshot& snapshot, std::string_view ending) {
  return std::any_of(snapshot.files.begin(), snapshot.files.end(),
                     [&](const RemoteFile& file) { return file.path.ends_with(ending); });
}

// What a repository without readable weights holds instead, and what to do.
Error not_for_us(const Snapshot& snapshot, std::string_view missing) {
  std::string hint = "glm reads safetensors checkpoints";
  if (any_ends_with(snapshot, ".gguf")) {
    hint = "it holds GGUF files; pull the safetensors repository it was made from";
  } else if (any_ends_with(snapshot, ".bin") || any_ends_with(snapshot, ".pt") ||
             any_ends_with(snapshot, ".pth")) {
    hint = "it holds pickled PyTorch files, which can run code and are never opened; pull a "
           "safetensors repository";
  }
  return make_error(Errc::unsupported, "{} has no {}: {}", snapshot.repository, missing, hint);
}

}  // namespace

Result<std::vector<RemoteFile>> select_small(const Snapshot& snapshot) {
  std::set<std::string> seen;
  std::vector<RemoteFile> files;
  for (const RemoteFile& file : snapshot.files) {
    if (!seen.insert(file.path).second) {
      return make_error(Errc::corrupt, "{} lists {} twice", snapshot.repository, file.path);
    }
    if (!is_small_file(file.path)) continue;
    if (file.size_bytes > kSmallSizeMax) {
      return make_error(Errc::corrupt, "{}: {} has {} bytes; refused", snapshot.repository,
                        file.path, file.size_bytes);
    }
    files.push_back(file);
  }
  if (!any_ends_with(snapshot, ".safetensors")) return not_for_us(snapshot, "safetensors weights");
  if (find(snapshot, "config.json") == nullptr) return not_for_us(snapshot, "config.json");
  return files;
}

Result<std::vector<RemoteFile>> select_weights(const Snapshot& snapshot,
                                               std::string_view index_json) {
  std::vector<RemoteFile> weights;
  if (index_json.empty()) {
    if (const RemoteFile* single = find(snapshot, "model.safetensors")) {
      weights.push_back(*single);
    } else {
      for (const RemoteFile& file : snapshot.files) {
        if (at_root(file.path) && file.path.ends_with(".safetensors")) weights.push_back(file);
      }
    }
    if (weights.size() == 1) return weights;
    return make_error(Errc::unsupported,
                      "{} has {} safetensors files at its root and no {} that says which to take",
                      snapshot.repository, weights.size(), kIndexFile);
  }
  const auto index = nlohmann::json::parse(index_json, nullptr, false);
  const auto map = index.is_object() ? index.find("weight_map") : index.end();
  if (!index.is_object() || map == index.end() || !map->is_object() || map->empty()) {
    return make_error(Errc::corrupt, "{} has no weight_map", kIndexFile);
  }
  std::set<std::string> names;
  for (const auto& [tensor, file] : map->items()) {
    if (!file.is_string()) {
      return make_error(Errc::corrupt, "{}: the file of tensor {} is no string", kIndexFile,
                        printable(tensor.substr(0, 200)));
    }
    names.insert(file.get<std::string>());
  }
  for (const RemoteFile& file : snapshot.files) {
    // A multi-token prediction layer is sometimes grafted on without an entry in the index.
    const bool grafted = at_root(file.path) && file.path.starts_with("mtp") &&
                         file.path.ends_with(".safetensors");
    if (names.contains(file.path) || grafted) weights.push_back(file);
  }
  for (const std::string& name : names) {
    GLM_TRY(check_path(name));
    if (!name.ends_with(".safetensors") || find(snapshot, name) == nullptr) {
      return make_error(Errc::corrupt, "{} names {}, which is not a safetensors file of {}",
                        kIndexFile, name, snapshot.repository);
    }
  }
  return weights;
}

}  // namespace glm::registry
