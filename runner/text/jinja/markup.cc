#include "runner/text/jinja/markup.h"

#include <algorithm>
#include <utility>

namespace glm::runner::jinja {
namespace {

// Which of a method's arguments become part of its result.
enum class Escapes { nothing, second, items, everything };

struct Row {
  std::string_view method;
  Escapes escapes;
};

constexpr Row kMethods[] = {
    {"capitalize", Escapes::nothing},   {"casefold", Escapes::nothing},
    {"center", Escapes::second},        {"format", Escapes::everything},
    {"join", Escapes::items},           {"ljust", Escapes::second},
    {"lower", Escapes::nothing},        {"lstrip", Escapes::nothing},
    {"partition", Escapes::nothing},    {"removeprefix", Escapes::nothing},
    {"removesuffix", Escapes::nothing}, {"replace", Escapes::second},
    {"rjust", Escapes::second},         {"rpartition", Escapes::nothing},
    {"rsplit", Escapes::nothing},       {"rstrip", Escapes::nothing},
    {"split", Escapes::nothing},        {"splitlines", Escapes::nothing},
    {"strip", Escapes::nothing},        {"swapcase", Escapes::nothing},
    {"title", Escapes::nothing},        {"upper", Escapes::nothing},
    {"zfill", Escapes::nothing},
};

Result<Arguments> escape_arguments(Room& room, Escapes which, Arguments arguments) {
  auto& given = arguments.positional;
  if (which == Escapes::second && given.size() > 1) given[1] = GLM_TRY(escaped(room, given[1]));
  if (which == Escapes::items && !given.empty()) {
    std::vector<Value> items = GLM_TRY(iterate(room, given[0]));
    for (Value& item : items) item = GLM_TRY(escaped(room, item));
    given[0] = room.heap.list(std::move(items));
  }
  if (which == Escapes::everything) {
    for (Value& value : given) value = GLM_TRY(escaped(room, value));
    for (auto& [name, value] : arguments.named) value = GLM_TRY(escaped(room, value));
  }
  return arguments;
}

}  // namespace

Result<Value> call_markup_method(Engine& engine, const Function& method,
                                 const Arguments& arguments) {
  const auto* const row = std::find_if(std::begin(kMethods), std::end(kMethods),
                                       [&](const Row& r) { return r.method == method.name; });
  const Value plain = method.self.as_markup(false);
  if (row == std::end(kMethods)) return method.native(engine, plain, arguments);
  const Arguments safe = GLM_TRY(escape_arguments(engine.room(), row->escapes, arguments));
  Value made = GLM_TRY(method.native(engine, plain, safe));
  if (made.is_sequence()) {
    for (Value& item : made.items().items) item = item.as_markup();
  }
  return made.is(Kind::text) ? made.as_markup() : made;
}

}  // namespace glm::runner::jinja
