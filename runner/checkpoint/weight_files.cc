#include "runner/checkpoint/weight_files.h"

#include <charconv>
#include <cstdint>
#include <optional>
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

// "model-00002-of-00004.safetensors" is part 2 of 4 of "model".
struct Part {
  std::string_view base;
  std::uint32_t total = 0;
};
std::optional<Part> part_of(std::string_view name) {
  constexpr std::string_view kPattern = "-00002-of-00004.safetensors";
  if (name.size() <= kPattern.size()) return {};
  const std::string_view tail = name.substr(name.size() - kPattern.size());
  for (std::size_t i = 0; i < kPattern.size(); ++i) {
    const bool digit = tail[i] >= '0' && tail[i] <= '9';
    if (kPattern[i] >= '0' && kPattern[i] <= '9' ? !digit : tail[i] != kPattern[i]) return {};
  }
  Part part{.base = name.substr(0, name.size() - kPattern.size())};
  std::from_chars(tail.data() + 10, tail.data() + 15, part.total);
  return part;
}

// Without an index the names alone tell that a part is missing.
Status check_parts(const std::set<std::string>& weights) {
  for (const std::string& name : weights) {
    const std::optional<Part> part = part_of(name);
    for (std::uint32_t number = 1; part && number <= part->total; ++number) {
      const std::string wanted =
          fmt::format("{}-{:05}-of-{:05}.safetensors", part->base, number, part->total);
      if (weights.contains(wanted)) continue;
      return make_error(Errc::not_found, "{} is there, but {} is not; pull the model again", name,
                        wanted);
    }
  }
  return Ok{};
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
  if (index.empty()) GLM_TRY(check_parts(weights));
  for (const std::string& name : weights) {
    if (!present.contains(name)) {
      return make_error(Errc::not_found, "{} names {}, which is not there; pull the model again",
                        kSafetensorsIndexFile, name);
    }
  }
  return std::vector<std::string>(weights.begin(), weights.end());
}

}  // namespace glm::runner
