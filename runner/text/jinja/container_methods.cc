// Methods of list, tuple and dict; and attributes of everything.
#include <algorithm>
#include <utility>

#include "runner/text/jinja/builtin_table.h"
#include "runner/text/jinja/engine.h"
#include "runner/text/jinja/interpreter.h"
#include "runner/text/jinja/python_text.h"
#include "runner/text/jinja/text_methods.h"

namespace glm::runner::jinja {
namespace {

using Made = Result<Value>;

Made get_method(Engine&, const Value& self, const Arguments& arguments) {
  const auto bound = GLM_TRY(arguments.bind("get", {"key", "default"}, 1));
  if (!hashable(bound[0])) {
    return make_error(Errc::invalid_argument, "unhashable type: '{}'", type_name(bound[0]));
  }
  const Value* found = self.dict().find(bound[0]);
  if (found != nullptr) return *found;
  return bound[1].is(Kind::missing) ? Value::none() : bound[1];
}

Made items_method(Engine& engine, const Value& self, const Arguments& arguments) {
  GLM_TRY(arguments.bind("items", {}, 0));
  std::vector<Value> out;
  for (const auto& [key, value] : self.dict().entries()) {
    out.push_back(engine.heap().tuple({key, value}));
  }
  GLM_TRY(engine.meter().items(out.size() * 2));
  return engine.heap().view(View::Of::items, std::move(out));
}

Made keys_method(Engine& engine, const Value& self, const Arguments& arguments) {
  GLM_TRY(arguments.bind("keys", {}, 0));
  return engine.heap().view(View::Of::keys, GLM_TRY(iterate(engine.room(), self)));
}

Made values_method(Engine& engine, const Value& self, const Arguments& arguments) {
  GLM_TRY(arguments.bind("values", {}, 0));
  std::vector<Value> out;
  for (const auto& entry : self.dict().entries()) out.push_back(entry.second);
  GLM_TRY(engine.meter().items(out.size()));
  return engine.heap().view(View::Of::values, std::move(out));
}

Made copy_method(Engine& engine, const Value& self, const Arguments& arguments) {
  GLM_TRY(arguments.bind("copy", {}, 0));
  if (self.is(Kind::list)) return engine.list(self.items().items);
  GLM_TRY(engine.meter().items(self.dict().entries().size() * 2));
  return Value::dict(engine.heap().make<Dict>(self.dict()));
}

Made update_method(Engine& engine, const Value& self, const Arguments& arguments) {
  const Value made = GLM_TRY(find_global("dict")(engine, Value(), arguments));
  for (const auto& [key, value] : made.dict().entries()) self.dict().set(key, value);
  return Value::none();
}

Made dict_pop_method(Engine& engine, const Value& self, const Arguments& arguments) {
  const auto bound = GLM_TRY(arguments.bind("pop", {"key", "default"}, 1));
  GLM_TRY(engine.meter().spend(self.dict().entries().size()));
  const Value* found = hashable(bound[0]) ? self.dict().find(bound[0]) : nullptr;
  if (found == nullptr) {
    if (!bound[1].is(Kind::missing)) return bound[1];
    return make_error(Errc::invalid_argument, "pop: no such key: {}", GLM_TRY(to_repr(bound[0])));
  }
  Value value = *found;
  self.dict().erase(bound[0]);
  return value;
}

// Not allowed by transformers' sandbox, but templates for other engines use them; the lists are
// this rendering's own.
Made append_method(Engine& engine, const Value& self, const Arguments& arguments) {
  const auto bound = GLM_TRY(arguments.bind("append", {"object"}, 1));
  GLM_TRY(engine.meter().items(1));
  self.items().items.push_back(bound[0]);
  return Value::none();
}

Made extend_method(Engine& engine, const Value& self, const Arguments& arguments) {
  const auto bound = GLM_TRY(arguments.bind("extend", {"iterable"}, 1));
  for (Value& item : GLM_TRY(iterate(engine.room(), bound[0]))) {
    self.items().items.push_back(std::move(item));
  }
  return Value::none();
}

Made insert_method(Engine& engine, const Value& self, const Arguments& arguments) {
  const auto bound = GLM_TRY(arguments.bind("insert", {"index", "object"}, 2));
  auto& items = self.items().items;
  GLM_TRY(engine.meter().items(1 + items.size() / 16));
  const auto size = static_cast<Int>(items.size());
  Int index = GLM_TRY(int_argument(bound[0], "index", 0));
  if (index < 0) index += size;
  items.insert(items.begin() + static_cast<std::ptrdiff_t>(std::clamp<Int>(index, 0, size)),
               bound[1]);
  return Value::none();
}

Made list_pop_method(Engine& engine, const Value& self, const Arguments& arguments) {
  const auto bound = GLM_TRY(arguments.bind("pop", {"index"}, 0));
  auto& items = self.items().items;
  GLM_TRY(engine.meter().spend(1 + items.size() / 16));
  Int index = GLM_TRY(int_argument(bound[0], "index", -1));
  if (index < 0) index += static_cast<Int>(items.size());
  if (index < 0 || index >= static_cast<Int>(items.size())) {
    return make_error(Errc::invalid_argument, "{}",
                      items.empty() ? "pop from empty list" : "pop index out of range");
  }
  Value value = items[static_cast<std::size_t>(index)];
  items.erase(items.begin() + static_cast<std::ptrdiff_t>(index));
  return value;
}

Made list_index_method(Engine& engine, const Value& self, const Arguments& arguments) {
  const auto bound = GLM_TRY(arguments.bind("index", {"value"}, 1));
  const auto& items = self.items().items;
  GLM_TRY(engine.meter().spend(items.size()));
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (equal(items[i], bound[0])) return Value::integer(static_cast<Int>(i));
  }
  return make_error(Errc::invalid_argument, "{} is not in list", GLM_TRY(to_repr(bound[0])));
}

Made list_count_method(Engine& engine, const Value& self, const Arguments& arguments) {
  const auto bound = GLM_TRY(arguments.bind("count", {"value"}, 1));
  const auto& items = self.items().items;
  GLM_TRY(engine.meter().spend(items.size()));
  return Value::integer(std::count_if(items.begin(), items.end(),
                                      [&](const Value& item) { return equal(item, bound[0]); }));
}

constexpr Builtin<Native> kDictMethods[] = {
    {"copy", &copy_method},     {"get", &get_method},      {"items", &items_method},
    {"keys", &keys_method},     {"pop", &dict_pop_method}, {"update", &update_method},
    {"values", &values_method},
};

constexpr Builtin<Native> kTupleMethods[] = {
    {"count", &list_count_method},
    {"index", &list_index_method},
};

constexpr Builtin<Native> kListMethods[] = {
    {"append", &append_method}, {"copy", &copy_method},        {"count", &list_count_method},
    {"extend", &extend_method}, {"index", &list_index_method}, {"insert", &insert_method},
    {"pop", &list_pop_method},
};

Made cycle_method(Engine&, const Value& self, const Arguments& arguments) {
  const auto& loop = self.as<Loop>();
  if (arguments.positional.empty()) {
    return make_error(Errc::invalid_argument, "no items for cycling given");
  }
  return arguments.positional[loop.index % arguments.positional.size()];
}

Made changed_method(Engine&, const Value& self, const Arguments& arguments) {
  auto& loop = self.as<Loop>();
  const bool same =
      loop.changed && std::equal(loop.changed->begin(), loop.changed->end(),
                                 arguments.positional.begin(), arguments.positional.end(), &equal);
  if (!same) loop.changed = arguments.positional;
  return Value::boolean(!same);
}

constexpr Builtin<Native> kLoopMethods[] = {
    {"changed", &changed_method},
    {"cycle", &cycle_method},
};

Value loop_attribute(const Loop& loop, std::string_view name) {
  const auto number = [](std::size_t value) { return Value::integer(static_cast<Int>(value)); };
  if (loop.items == nullptr) return Value::undefined("the loop has ended");
  const auto& items = *loop.items;
  const std::size_t index = loop.index;
  if (name == "index") return number(index + 1);
  if (name == "index0") return number(index);
  if (name == "revindex") return number(items.size() - index);
  if (name == "revindex0") return number(items.size() - index - 1);
  if (name == "first") return Value::boolean(index == 0);
  if (name == "last") return Value::boolean(index + 1 == items.size());
  if (name == "length") return number(items.size());
  if (name == "depth") return Value::integer(loop.depth);
  if (name == "depth0") return Value::integer(loop.depth - 1);
  if (name == "previtem") {
    return index > 0 ? items[index - 1] : Value::undefined("there is no previous item");
  }
  if (name == "nextitem") {
    return index + 1 < items.size() ? items[index + 1] : Value::undefined("there is no next item");
  }
  return Value::undefined(fmt::format("'LoopContext object' has no attribute '{}'", name));
}

}  // namespace

Native find_method(Kind kind, std::string_view name) {
  switch (kind) {
    case Kind::text:
      return find_text_method(name);
    case Kind::list:
      return find_builtin<Native>(kListMethods, name);
    case Kind::tuple:
      return find_builtin<Native>(kTupleMethods, name);
    case Kind::dict:
      return find_builtin<Native>(kDictMethods, name);
    case Kind::loop:
      return find_builtin<Native>(kLoopMethods, name);
    default:
      return nullptr;
  }
}

Result<Value> attribute(Engine& engine, const Value& value, std::string_view name) {
  GLM_TRY(require_defined(value));
  if (const Native method = find_method(value.kind(), name)) {
    engine.meter().charge(8);
    return Value::object(Kind::function, engine.heap().make<Function>(name, method, value));
  }
  const Value* found = nullptr;
  if (value.is(Kind::dict)) found = value.dict().find(name);
  if (value.is(Kind::space)) found = value.as<Space>().attributes.find(name);
  if (found != nullptr) return *found;
  if (value.is(Kind::loop)) return loop_attribute(value.as<Loop>(), name);
  if (value.is(Kind::macro) && name == "name") return Value::text(value.as<Macro>().name);
  return Value::undefined(fmt::format("'{} object' has no attribute '{}'", type_name(value), name));
}

}  // namespace glm::runner::jinja
