// What builtins see of a rendering, and how they take their arguments.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "runner/text/jinja/operators.h"
#include "runner/text/jinja/value.h"

namespace glm::runner::jinja {

struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;

  // The values of the parameters in this order, `missing` where not given; the first `required`
  // must be. Errc::invalid_argument as Python would complain: too many, unknown name, given twice.
  Result<std::vector<Value>> bind(std::string_view function,
                                  std::initializer_list<std::string_view> parameters,
                                  std::size_t required) const;
};

class Engine {
 public:
  virtual ~Engine() = default;

  virtual Room& room() = 0;
  virtual const Clock& clock() const = 0;
  // What raise_exception() does: the message reaches the user as it is.
  virtual Error raise(std::string message) = 0;
  virtual Result<Value> call(const Value& callee, const Arguments& arguments) = 0;
  virtual Result<Value> filter(std::string_view name, const Value& input,
                               const Arguments& arguments) = 0;
  virtual Result<bool> test(std::string_view name, const Value& input,
                            const Arguments& arguments) = 0;

  Heap& heap() { return room().heap; }
  Meter& meter() { return room().meter; }

  // A text made by a builtin, accounted for.
  Result<Value> text(std::string value) {
    GLM_TRY(meter().text(value.size()));
    return Value::text(std::move(value));
  }
  // What a lazy filter gives: items, or the error that is due once somebody wants them.
  Result<Value> iterator(Result<std::vector<Value>> items) {
    if (!items.ok() && items.error().code == Errc::exhausted) return std::move(items).error();
    if (items.ok()) GLM_TRY(meter().items(items->size()));
    return heap().iterator(std::move(items));
  }
  Result<Value> list(std::vector<Value> items) {
    GLM_TRY(meter().items(items.size()));
    return heap().list(std::move(items));
  }
};

// A builtin: a filter gets its input as `self`, a method its object, a function nothing.
using Native = Result<Value> (*)(Engine& engine, const Value& self, const Arguments& arguments);
using NativeTest = Result<bool> (*)(Engine& engine, const Value& self, const Arguments& arguments);

// A builtin as a value: a method bound to its object, or a function.
struct Function final : Object {
  Function(std::string_view function, Native code, Value object)
      : name(function), native(code), self(std::move(object)) {}
  std::string name;
  Native native;
  Value self;
};

template <typename Code>
struct Builtin {
  std::string_view name;
  Code code;
};

// Null where there is none of that name.
Native find_filter(std::string_view name);
NativeTest find_test(std::string_view name);
Native find_method(Kind kind, std::string_view name);
Native find_global(std::string_view name);

// value.name as Jinja has it: a method or attribute, else the item of that name, else undefined.
Result<Value> attribute(Engine& engine, const Value& value, std::string_view name);

// ", did you mean 'x'?", or nothing.
std::string nearest_filter(std::string_view name);
std::string nearest_test(std::string_view name);

// Arguments as what they must be; `missing` gives the fallback.
Result<Int> int_argument(const Value& value, std::string_view name, Int fallback);
Result<std::string> text_argument(const Value& value, std::string_view name,
                                  std::string_view fallback);
bool flag_argument(const Value& value, bool fallback);

}  // namespace glm::runner::jinja
