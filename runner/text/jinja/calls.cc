// Macros and recursive loops, called as functions.
#include <algorithm>

#include "runner/text/jinja/interpreter.h"
#include "runner/text/jinja/markup.h"

namespace glm::runner::jinja {

Result<Value> Interpreter::call(const Value& callee, const Arguments& arguments) {
  GLM_TRY(require_defined(callee));
  switch (callee.kind()) {
    case Kind::macro:
      return call_macro(callee.as<Macro>(), arguments);
    case Kind::loop:
      return call_loop(callee.as<Loop>(), arguments);
    case Kind::function: {
      const auto& function = callee.as<Function>();
      if (function.self.is_markup()) return call_markup_method(*this, function, arguments);
      return function.native(*this, function.self, arguments);
    }
    default:
      return make_error(Errc::invalid_argument, "'{}' object is not callable", type_name(callee));
  }
}

Result<Value> Interpreter::call_macro(Macro& macro, const Arguments& arguments) {
  Scope* scope = new_scope(macro.scope);
  GLM_TRY(bind_macro(macro, arguments, *scope));
  std::string out;
  GLM_TRY(run(*macro.body, *scope, out));
  return Value::text(std::move(out));
}

// Parameters, then what was given beyond them, for macros that mention it.
Status Interpreter::bind_macro(Macro& macro, const Arguments& arguments, Scope& scope) {
  const Signature& signature = *macro.signature;
  const std::size_t count = signature.names.size();
  const std::size_t first_default = count - signature.defaults.size();
  std::vector<bool> named_used(arguments.named.size(), false);
  for (std::size_t i = 0; i < count; ++i) {
    const std::string& name = signature.names[i];
    const auto named = std::find_if(arguments.named.begin(), arguments.named.end(),
                                    [&](const auto& entry) { return entry.first == name; });
    Value value;
    if (named != arguments.named.end()) {
      if (i < arguments.positional.size()) {
        return make_error(Errc::invalid_argument, "macro '{}' got two values for '{}'", macro.name,
                          name);
      }
      named_used[static_cast<std::size_t>(named - arguments.named.begin())] = true;
      value = named->second;
    } else if (i < arguments.positional.size()) {
      value = arguments.positional[i];
    } else if (i >= first_default) {
      value = GLM_TRY(evaluate(*signature.defaults[i - first_default], scope));
    } else {
      value = Value::undefined(fmt::format("parameter '{}' was not provided", name));
    }
    scope.set(name, std::move(value));
  }

  meter_.charge(20);
  Dict* rest = heap_.make<Dict>();
  const Value* caller = nullptr;
  for (std::size_t i = 0; i < arguments.named.size(); ++i) {
    if (named_used[i]) continue;
    const auto& [name, value] = arguments.named[i];
    if (signature.takes_caller && name == "caller") {
      caller = &value;
    } else if (!signature.takes_kwargs) {
      return make_error(Errc::invalid_argument, "macro '{}' takes no keyword argument '{}'",
                        macro.name, name);
    } else {
      rest->set(name, value);
    }
  }
  if (signature.takes_caller) {
    scope.set("caller", caller != nullptr ? *caller : Value::undefined("no caller defined"));
  }
  if (signature.takes_kwargs) scope.set("kwargs", Value::dict(rest));

  std::vector<Value> surplus;
  if (arguments.positional.size() > count) {
    if (!signature.takes_varargs) {
      return make_error(Errc::invalid_argument, "macro '{}' takes not more than {} argument(s)",
                        macro.name, count);
    }
    surplus.assign(arguments.positional.begin() + static_cast<std::ptrdiff_t>(count),
                   arguments.positional.end());
  }
  if (signature.takes_varargs) scope.set("varargs", heap_.tuple(std::move(surplus)));
  return Ok{};
}

Result<Value> Interpreter::call_loop(Loop& loop, const Arguments& arguments) {
  if (!loop.statement->recursive) {
    return make_error(Errc::invalid_argument,
                      "the loop must have the 'recursive' marker to be called recursively");
  }
  const auto bound = GLM_TRY(arguments.bind("loop", {"iterable"}, 1));
  const Level level(*this);
  std::string out;
  GLM_TRY(loop_over(*loop.statement, *loop.scope, bound[0], loop.depth + 1, out));
  return Value::text(std::move(out));
}

}  // namespace glm::runner::jinja
