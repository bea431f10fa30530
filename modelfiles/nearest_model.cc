#include "modelfiles/nearest_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "base/spelling.h"

namespace glm::modelfiles {
namespace {

constexpr std::string_view kLatest = ":latest";

// As people write it.
std::string_view short_form(std::string_view name) {
  if (name.ends_with(kLatest)) name.remove_suffix(kLatest.size());
  return name;
}

std::string_view without_tag(std::string_view name) {
  return name.substr(0, name.find_last_of(":@"));
}

}  // namespace

std::string nearest_model(std::string_view name, std::span<const std::string> here) {
  std::vector<std::string_view> names;
  for (const std::string& known : here) names.push_back(short_form(known));
  const std::string hint = did_you_mean(short_form(name), names);
  if (!hint.empty()) return hint;
  // By the model alone, then.
  std::vector<std::string_view> models;
  for (const std::string_view known : names) models.push_back(without_tag(known));
  const auto nearest = nearest_name(without_tag(name), models);
  if (!nearest) return hint;
  const auto first = std::find_if(models.begin(), models.end(), [&](std::string_view model) {
    return edit_distance(model, *nearest, 0) == 0;
  });
  return fmt::format("; did you mean '{}'?",
                     names[static_cast<std::size_t>(first - models.begin())]);
}

}  // namespace glm::modelfiles
