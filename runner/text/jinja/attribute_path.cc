#include "runner/text/jinja/attribute_path.h"

#include <algorithm>
#include <string>
#include <utility>

namespace glm::runner::jinja {

Result<Value> attribute_path(Engine& engine, Value item, const Value& path, const Value& fallback) {
  if (path.is(Kind::missing) || path.is(Kind::none)) return item;
  const auto or_fallback = [&](Value found) {
    const bool replace = found.is(Kind::undefined) && !fallback.is(Kind::missing);
    return replace ? fallback : found;
  };
  if (path.is_integral()) return or_fallback(GLM_TRY(subscript(engine.room(), item, path)));
  std::string rest = GLM_TRY(text_argument(path, "attribute", ""));
  while (true) {
    const std::size_t dot = rest.find('.');
    const std::string part = rest.substr(0, dot);
    const bool number =
        !part.empty() && part.size() < 10 &&
        std::all_of(part.begin(), part.end(), [](char c) { return c >= '0' && c <= '9'; });
    const Value key = number ? Value::integer(std::stol(part)) : Value::text(part);
    Value next = GLM_TRY(subscript(engine.room(), item, key));
    if (next.is(Kind::undefined) && !number) next = GLM_TRY(attribute(engine, item, part));
    item = or_fallback(std::move(next));
    if (dot == std::string::npos) return item;
    rest.erase(0, dot + 1);
  }
}

}  // namespace glm::runner::jinja
