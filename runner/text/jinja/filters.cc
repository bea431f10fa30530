#include "runner/text/jinja/filters.h"

#include "runner/text/jinja/builtin_table.h"

namespace glm::runner::jinja {

Native find_filter(std::string_view name) {
  for (const auto table : {text_filters(), sequence_filters(), order_filters(), value_filters()}) {
    if (const Native found = find_builtin(table, name)) return found;
  }
  return nullptr;
}

std::string nearest_filter(std::string_view name) {
  for (const auto table : {text_filters(), sequence_filters(), order_filters(), value_filters()}) {
    std::string hint = did_you_mean(table, name);
    if (!hint.empty()) return hint;
  }
  return {};
}

}  // namespace glm::runner::jinja
