// The functions a template can call without an object.
#include <algorithm>
#include <array>
#include <chrono>
#include <ctime>
#include <utility>

#include "runner/text/jinja/builtin_table.h"
#include "runner/text/jinja/engine.h"
#include "runner/text/jinja/python_text.h"
#include "runner/text/utf8_stream.h"

namespace glm::runner::jinja {
namespace {

using Made = Result<Value>;

constexpr Int kRangeMax = 100'000;  // as Jinja's sandbox

Made range_function(Engine& engine, const Value&, const Arguments& arguments) {
  const auto bound = GLM_TRY(arguments.bind("range", {"start", "stop", "step"}, 1));
  Int start = 0;
  Int stop = GLM_TRY(int_argument(bound[0], "start", 0));
  if (!bound[1].is(Kind::missing)) {
    start = stop;
    stop = GLM_TRY(int_argument(bound[1], "stop", 0));
  }
  const Int step = GLM_TRY(int_argument(bound[2], "step", 1));
  if (step == 0) return make_error(Errc::invalid_argument, "range() arg 3 must not be zero");
  std::vector<Value> items;
  for (Int i = start; step > 0 ? i < stop : i > stop;) {
    if (static_cast<Int>(items.size()) == kRangeMax) {
      return make_error(Errc::exhausted, "range() of more than {} numbers",
                        static_cast<int>(kRangeMax));
    }
    items.push_back(Value::integer(i));
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  GLM_TRY(engine.meter().items(items.size()));
  View* range = engine.heap().make<View>();
  range->of = View::Of::range;
  range->items = std::move(items);
  range->start = start;
  range->stop = stop;
  range->step = step;
  return Value::object(Kind::view, range);
}

// dict(mapping or pairs, name=value …)
Status fill(Engine& engine, Dict& dict, const Arguments& arguments) {
  for (const Value& argument : arguments.positional) {
    GLM_TRY(require_defined(argument));
    if (argument.is(Kind::dict)) {
      for (const auto& [key, value] : argument.dict().entries()) dict.set(key, value);
      GLM_TRY(engine.meter().items(argument.dict().entries().size() * 2));
      continue;
    }
    for (const Value& pair : GLM_TRY(iterate(engine.room(), argument))) {
      const auto parts = GLM_TRY(iterate(engine.room(), pair));
      if (parts.size() != 2 || !hashable(parts[0])) {
        return make_error(Errc::invalid_argument, "dict() wants pairs of key and value");
      }
      dict.set(parts[0], parts[1]);
    }
  }
  GLM_TRY(engine.meter().items(arguments.named.size() * 2));
  for (const auto& [name, value] : arguments.named) dict.set(name, value);
  return Ok{};
}

Made dict_function(Engine& engine, const Value&, const Arguments& arguments) {
  engine.meter().charge(20);
  Dict* dict = engine.heap().make<Dict>();
  GLM_TRY(fill(engine, *dict, arguments));
  return Value::dict(dict);
}

Made namespace_function(Engine& engine, const Value&, const Arguments& arguments) {
  engine.meter().charge(20);
  Space* space = engine.heap().make<Space>();
  GLM_TRY(fill(engine, space->attributes, arguments));
  return Value::object(Kind::space, space);
}

Made raise_exception_function(Engine& engine, const Value&, const Arguments& arguments) {
  const auto bound = GLM_TRY(arguments.bind("raise_exception", {"message"}, 1));
  return engine.raise(GLM_TRY(to_text(bound[0])));
}

Made strftime_now_function(Engine& engine, const Value&, const Arguments& arguments) {
  const auto bound = GLM_TRY(arguments.bind("strftime_now", {"format"}, 1));
  const std::string format = GLM_TRY(text_argument(bound[0], "format", ""));
  if (format.size() > 1024)
    return make_error(Errc::exhausted, "strftime_now: the format is too long");
  const std::time_t seconds = std::chrono::system_clock::to_time_t(engine.clock().wall());
  std::tm local{};
  localtime_r(&seconds, &local);
  // A trailing blank tells an empty result from one that did not fit.
  std::array<char, 64 * 1024> buffer{};
  const std::size_t size =
      std::strftime(buffer.data(), buffer.size(), (format + " ").c_str(), &local);
  if (size == 0) return make_error(Errc::invalid_argument, "strftime_now: the result is too long");
  return engine.text(to_valid_utf8({buffer.data(), size - 1}));
}

constexpr Builtin<Native> kGlobals[] = {
    {"dict", &dict_function},
    {"namespace", &namespace_function},
    {"raise_exception", &raise_exception_function},
    {"range", &range_function},
    {"strftime_now", &strftime_now_function},
};

}  // namespace

Native find_global(std::string_view name) {
  return find_builtin<Native>(kGlobals, name);
}

}  // namespace glm::runner::jinja
