// Finding a builtin by its name.
#pragma once

#include <algorithm>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runner/text/jinja/engine.h"

namespace glm::runner::jinja {

template <typename Code>
Code find_builtin(std::span<const Builtin<Code>> table, std::string_view name) {
  const auto found = std::find_if(table.begin(), table.end(),
                                  [&](const Builtin<Code>& row) { return row.name == name; });
  return found == table.end() ? nullptr : found->code;
}

// Insertions, deletions and replacements between two names.
inline std::size_t edit_distance(std::string_view from, std::string_view to) {
  std::vector<std::size_t> row(to.size() + 1);
  for (std::size_t i = 0; i < row.size(); ++i) row[i] = i;
  for (std::size_t i = 0; i < from.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i + 1;
    for (std::size_t j = 0; j < to.size(); ++j) {
      const std::size_t replaced = diagonal + (from[i] == to[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row.back();
}

// ", did you mean 'x'?", or nothing where no name is near.
template <typename Code>
std::string did_you_mean(std::span<const Builtin<Code>> table, std::string_view name) {
  std::string_view best;
  std::size_t distance = 3;
  if (name.size() > 64) return {};
  for (const auto& row : table) {
    const std::size_t d = edit_distance(name, row.name);
    if (d < distance && d < row.name.size()) distance = d, best = row.name;
  }
  return best.empty() ? std::string() : fmt::format(", did you mean '{}'?", best);
}

}  // namespace glm::runner::jinja
