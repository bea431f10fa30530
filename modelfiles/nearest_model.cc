#include "modelfiles/nearest_model.h"

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
  std::string hint = did_you_mean(short_form(name), names);
  if (!hint.empty()) return hint;
  std::erase_if(names, [&](std::string_view known) {
    return edit_distance(without_tag(name), without_tag(known), 0) > 0;
  });
  return names.empty() ? std::string() : did_you_mean(names.front(), names);
}

}  // namespace glm::modelfiles
