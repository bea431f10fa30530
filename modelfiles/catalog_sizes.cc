#include "modelfiles/catalog_sizes.h"

#include <algorithm>
#include <array>

namespace glm::modelfiles {
namespace {

constexpr std::uint64_t kMB = 1'000'000;

constexpr std::array<CatalogSize, 4> kSizes = {{
    {"glm-4.7-flash:awq", "cyankiwi/GLM-4.7-Flash-AWQ-4bit", 20'200 * kMB},
    {"glm-4.7-flash:nvfp4", "GadflyII/GLM-4.7-Flash-NVFP4", 20'400 * kMB},
    {"glm-4.7-flash:fp8", "mratsim/GLM-4.7-Flash-FP8", 30'600 * kMB},
    {"glm-4.7-flash:bf16", "zai-org/GLM-4.7-Flash", 62'400 * kMB},
}};

std::string_view model_of(std::string_view name) {
  return name.substr(0, name.find(':'));
}

auto find(std::string_view repository) {
  return std::find_if(kSizes.begin(), kSizes.end(),
                      [&](const CatalogSize& row) { return row.repository == repository; });
}

}  // namespace

std::span<const CatalogSize> catalog_sizes() {
  return kSizes;
}

std::uint64_t catalog_size(std::string_view repository) {
  const auto row = find(repository);
  return row == kSizes.end() ? 0 : row->weight_bytes;
}

std::vector<CatalogSize> other_forms(std::string_view repository) {
  std::vector<CatalogSize> forms;
  const auto mine = find(repository);
  if (mine == kSizes.end()) return forms;
  for (const CatalogSize& row : kSizes) {
    if (&row != &*mine && model_of(row.name) == model_of(mine->name)) forms.push_back(row);
  }
  return forms;
}

}  // namespace glm::modelfiles
