#include "modelfiles/catalog.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/paths.h"
#include "modelfiles/nearest_model.h"
#include "modelfiles/parser.h"

namespace glm::modelfiles {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view kSuffix = ".modelfile";
constexpr std::uint64_t kModelfileMaxBytes = 1 << 20;

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [&](char x, char y) { return lower(x) == lower(y); });
}

// The names in a folder, hidden ones left out.
Result<std::vector<std::string>> names_in(const fs::path& folder) {
  std::error_code failure;
  std::vector<std::string> names;
  fs::directory_iterator entry(folder, failure);
  for (; !failure && entry != fs::directory_iterator(); entry.increment(failure)) {
    std::string name = entry->path().filename().string();
    if (!name.starts_with('.')) names.push_back(std::move(name));
  }
  if (failure) {
    return make_error(Errc::not_found, "read the catalog {}: {}; install glm again",
                      folder.string(), failure.message());
  }
  std::sort(names.begin(), names.end());
  return names;
}

Result<std::vector<std::string>> tags_in(const fs::path& folder) {
  std::vector<std::string> tags;
  for (const std::string& name : GLM_TRY(names_in(folder))) {
    if (!name.ends_with(kSuffix) || name.size() == kSuffix.size()) continue;
    tags.push_back(name.substr(0, name.size() - kSuffix.size()));
  }
  std::stable_partition(tags.begin(), tags.end(),
                        [](const std::string& tag) { return tag == "latest"; });
  return tags;
}

std::string joined(const std::vector<std::string>& names) {
  std::string all;
  for (const std::string& name : names) all += all.empty() ? name : ", " + name;
  return all;
}

}  // namespace

Result<Catalog> Catalog::open(fs::path catalog_dir) {
  std::map<std::string, std::vector<std::string>> models;
  for (std::string& name : GLM_TRY(names_in(catalog_dir))) {
    std::error_code ignored;
    if (!fs::is_directory(catalog_dir / name, ignored)) continue;
    std::vector<std::string> tags = GLM_TRY(tags_in(catalog_dir / name));
    if (!tags.empty()) models.emplace(std::move(name), std::move(tags));
  }
  return Catalog(std::move(catalog_dir), std::move(models));
}

std::string Catalog::near(const std::string& name, std::span<const std::string> here) const {
  std::vector<std::string> names(here.begin(), here.end());
  for (const auto& [model, tags] : models_) {
    for (const std::string& tag : tags) names.push_back(model + ":" + tag);
  }
  return nearest_model(name, names);
}

Result<CatalogEntry> Catalog::find(std::string_view model, std::string_view tag,
                                   std::span<const std::string> here) const {
  if (tag.empty()) tag = "latest";
  const auto found = std::find_if(models_.begin(), models_.end(), [&](const auto& known) {
    return equal_ignoring_case(known.first, model);
  });
  if (found == models_.end()) {
    const std::string hint = near(fmt::format("{}:{}", model, tag), here);
    return make_error(Errc::not_found, "there is no model '{}' in the catalog{}", model,
                      hint.empty() ? "; 'glm list --catalog' lists what it has, and a Hugging Face "
                                     "repository is named org/name"
                                   : hint);
  }
  const auto& [name, tags] = *found;
  const auto known_tag = std::find_if(tags.begin(), tags.end(), [&](const std::string& known) {
    return equal_ignoring_case(known, tag);
  });
  if (known_tag == tags.end()) {
    return make_error(Errc::not_found, "{} has no tag '{}'; it has {}", name, tag, joined(tags));
  }
  const fs::path path = dir_ / name / (*known_tag + std::string(kSuffix));
  std::string text = GLM_TRY(read_file(path, kModelfileMaxBytes));
  Modelfile modelfile = GLM_TRY(parse(text, path.string()));
  return CatalogEntry{name, *known_tag, std::move(text), std::move(modelfile)};
}

}  // namespace glm::modelfiles
