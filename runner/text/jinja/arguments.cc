#include <algorithm>

#include "runner/text/jinja/engine.h"
#include "runner/text/jinja/python_text.h"

namespace glm::runner::jinja {

Result<std::vector<Value>> Arguments::bind(std::string_view function,
                                           std::initializer_list<std::string_view> parameters,
                                           std::size_t required) const {
  if (positional.size() > parameters.size()) {
    return make_error(Errc::invalid_argument, "{}() takes at most {} arguments, got {}", function,
                      parameters.size(), positional.size());
  }
  std::vector<Value> out(positional);
  out.resize(parameters.size());
  for (const auto& [name, value] : named) {
    const auto* found = std::find(parameters.begin(), parameters.end(), name);
    if (found == parameters.end()) {
      return make_error(Errc::invalid_argument, "{}() got an unexpected keyword argument '{}'",
                        function, name);
    }
    Value& slot = out[static_cast<std::size_t>(found - parameters.begin())];
    if (!slot.is(Kind::missing)) {
      return make_error(Errc::invalid_argument, "{}() got multiple values for argument '{}'",
                        function, name);
    }
    slot = value;
  }
  for (std::size_t i = 0; i < required; ++i) {
    if (out[i].is(Kind::missing)) {
      return make_error(Errc::invalid_argument, "{}() is missing its argument '{}'", function,
                        parameters.begin()[i]);
    }
  }
  return out;
}

Result<Int> int_argument(const Value& value, std::string_view name, Int fallback) {
  if (value.is(Kind::missing) || value.is(Kind::none)) return fallback;
  if (value.is_integral()) return value.integral();
  GLM_TRY(require_defined(value));
  return make_error(Errc::invalid_argument, "'{}' must be an integer, not {}", name,
                    type_name(value));
}

Result<std::string> text_argument(const Value& value, std::string_view name,
                                  std::string_view fallback) {
  if (value.is(Kind::missing) || value.is(Kind::none)) return std::string(fallback);
  if (value.is(Kind::text)) return value.text();
  GLM_TRY(require_defined(value));
  return make_error(Errc::invalid_argument, "'{}' must be a string, not {}", name,
                    type_name(value));
}

bool flag_argument(const Value& value, bool fallback) {
  return value.is(Kind::missing) ? fallback : truthy(value);
}

}  // namespace glm::runner::jinja
