// Filters over lists and other things that can be iterated.
#include <algorithm>
#include <utility>

#include "runner/text/jinja/attribute_path.h"
#include "runner/text/jinja/filters.h"
#include "runner/text/jinja/python_text.h"
#include "runner/text/utf8.h"

namespace glm::runner::jinja {
namespace {

using Made = Result<Value>;
using Values = std::vector<Value>;

Result<Values> items_of(Engine& engine, const Value& self) {
  return iterate(engine.room(), self);
}

Made sum_filter(Engine& engine, const Value& self, const Arguments& arguments) {
  const auto bound = GLM_TRY(arguments.bind("sum", {"attribute", "start"}, 0));
  Value total = bound[1].is(Kind::missing) ? Value::integer(0) : bound[1];
  for (const Value& item : GLM_TRY(items_of(engine, self))) {
    const Value part = GLM_TRY(attribute_path(engine, item, bound[0]));
    total = GLM_TRY(binary(engine.room(), BinaryOp::add, total, part));
  }
  return total;
}

Made join_filter(Engine& engine, const Value& self, const Arguments& arguments) {
  const auto bound = GLM_TRY(arguments.bind("join", {"d", "attribute"}, 0));
  const std::string separator = GLM_TRY(to_text(bound[0]));
  std::string out;
  bool first = true;
  for (const Value& item : GLM_TRY(items_of(engine, self))) {
    if (!first) out += separator;
    first = false;
    const Value part = GLM_TRY(attribute_path(engine, item, bound[1]));
    out += GLM_TRY(to_text(part));
    if (out.size() > kTextMaxBytes) break;
  }
  return engine.text(std::move(out));
}

Made first_filter(Engine& engine, const Value& self, const Arguments& arguments) {
  GLM_TRY(arguments.bind("first", {}, 0));
  if (self.is(Kind::iterator) && !self.as<Iterator>().failure) {  // takes just this one
    auto& iterator = self.as<Iterator>();
    if (iterator.next < iterator.items.size()) return iterator.items[iterator.next++];
  }
  const Values items = GLM_TRY(items_of(engine, self));
  return items.empty() ? Value::undefined("no first item, sequence was empty") : items.front();
}

// What map, select and their like give can be gone through forwards only; "| list" helps.
Status require_reversible(const Value& value) {
  if (!value.is(Kind::iterator)) return Ok{};
  return make_error(Errc::invalid_argument, "'generator' object is not reversible");
}

Made last_filter(Engine& engine, const Value& self, const Arguments& arguments) {
  GLM_TRY(arguments.bind("last", {}, 0));
  GLM_TRY(require_reversible(self));
  const Values items = GLM_TRY(items_of(engine, self));
  return items.empty() ? Value::undefined("no last item, sequence was empty") : items.back();
}

Made length_filter(Engine& engine, const Value& self, const Arguments& arguments) {
  GLM_TRY(arguments.bind("length", {}, 0));
  switch (self.kind()) {
    case Kind::undefined:
      return Value::integer(0);
    case Kind::text:
      GLM_TRY(engine.meter().spend(self.text().size() / 32));
      return Value::integer(static_cast<Int>(character_count(self.text())));
    case Kind::list:
    case Kind::tuple:
      return Value::integer(static_cast<Int>(self.items().items.size()));
    case Kind::dict:
      return Value::integer(static_cast<Int>(self.dict().entries().size()));
    case Kind::view:
      return Value::integer(static_cast<Int>(self.as<View>().items.size()));
    default:
      return make_error(Errc::invalid_argument, "object of type '{}' has no len()",
                        type_name(self));
  }
}

Made list_filter(Engine& engine, const Value& self, const Arguments& arguments) {
  GLM_TRY(arguments.bind("list", {}, 0));
  Values items = GLM_TRY(items_of(engine, self));
  return engine.list(std::move(items));
}

Made reverse_filter(Engine& engine, const Value& self, const Arguments& arguments) {
  GLM_TRY(arguments.bind("reverse", {}, 0));
  if (self.is(Kind::text)) {
    return slice(engine.room(), self, {Value::none(), Value::none(), Value::integer(-1)});
  }
  Values items = GLM_TRY(items_of(engine, self));
  std::reverse(items.begin(), items.end());
  return self.is(Kind::iterator) ? engine.list(std::move(items))
                                 : engine.iterator(std::move(items));
}

Result<Values> pairs_of(Engine& engine, const Value& self) {
  Values out;
  if (self.is(Kind::undefined)) return out;
  if (!self.is(Kind::dict)) {
    return make_error(Errc::invalid_argument, "can only get item pairs from a mapping, got {}",
                      type_name(self));
  }
  for (const auto& [key, value] : self.dict().entries()) {
    out.push_back(engine.heap().tuple({key, value}));
  }
  GLM_TRY(engine.meter().items(out.size()));
  return out;
}

Made items_filter(Engine& engine, const Value& self, const Arguments& arguments) {
  GLM_TRY(arguments.bind("items", {}, 0));
  return engine.iterator(pairs_of(engine, self));
}

Result<Values> mapped(Engine& engine, const Value& self, const Arguments& arguments) {
  Values out;
  if (!truthy(self)) return out;
  const Values items = GLM_TRY(items_of(engine, self));
  if (arguments.positional.empty()) {
    const auto bound = GLM_TRY(arguments.bind("map", {"attribute", "default"}, 1));
    for (const Value& item : items) {
      out.push_back(GLM_TRY(attribute_path(engine, item, bound[0], bound[1])));
    }
    return out;
  }
  const std::string name = GLM_TRY(text_argument(arguments.positional[0], "filter", ""));
  Arguments rest = arguments;
  rest.positional.erase(rest.positional.begin());
  for (const Value& item : items) out.push_back(GLM_TRY(engine.filter(name, item, rest)));
  return out;
}

Made map_filter(Engine& engine, const Value& self, const Arguments& arguments) {
  return engine.iterator(mapped(engine, self, arguments));
}

enum class Keep { passing, failing };
enum class By { item, attribute };

// select(test, …), selectattr(attribute, test, …); without a test: what is true.
template <Keep keep, By by>
Result<Values> selected(Engine& engine, const Value& self, const Arguments& arguments) {
  if (!truthy(self)) return Values();
  Arguments rest = arguments;
  const auto shift = [&]() {
    Value first;
    if (!rest.positional.empty()) {
      first = rest.positional.front();
      rest.positional.erase(rest.positional.begin());
    }
    return first;
  };
  const Value path = by == By::attribute ? shift() : Value();
  if (by == By::attribute && path.is(Kind::missing)) {
    return make_error(Errc::invalid_argument, "missing parameter for attribute name");
  }
  const Value named_test = shift();
  const std::string name = GLM_TRY(text_argument(named_test, "test", ""));
  Values out;
  for (const Value& item : GLM_TRY(items_of(engine, self))) {
    const Value tested = GLM_TRY(attribute_path(engine, item, path));
    const bool passes =
        named_test.is(Kind::missing) ? truthy(tested) : GLM_TRY(engine.test(name, tested, rest));
    if (passes == (keep == Keep::passing)) out.push_back(item);
  }
  return out;
}

template <Keep keep, By by>
Made select_filter(Engine& engine, const Value& self, const Arguments& arguments) {
  return engine.iterator(selected<keep, by>(engine, self, arguments));
}

Result<Values> batches(Engine& engine, const Value& self, const std::vector<Value>& bound) {
  const Int size = GLM_TRY(int_argument(bound[0], "linecount", 1));
  if (size < 1) return make_error(Errc::invalid_argument, "batch wants a positive linecount");
  Values rows;
  Values row;
  for (Value& item : GLM_TRY(items_of(engine, self))) {
    if (static_cast<Int>(row.size()) == size) {
      rows.push_back(GLM_TRY(engine.list(std::exchange(row, {}))));
    }
    row.push_back(std::move(item));
  }
  if (!row.empty()) {
    if (!bound[1].is(Kind::missing) && !bound[1].is(Kind::none)) {
      GLM_TRY(engine.meter().items(static_cast<std::size_t>(std::min<Int>(size, kStepsMax))));
      row.resize(static_cast<std::size_t>(size), bound[1]);
    }
    rows.push_back(GLM_TRY(engine.list(std::move(row))));
  }
  return rows;
}

Made batch_filter(Engine& engine, const Value& self, const Arguments& arguments) {
  const auto bound = GLM_TRY(arguments.bind("batch", {"linecount", "fill_with"}, 1));
  return engine.iterator(batches(engine, self, bound));
}

Result<Values> slices_of(Engine& engine, const Value& self, const std::vector<Value>& bound) {
  const Int slices = GLM_TRY(int_argument(bound[0], "slices", 1));
  if (slices < 1) return make_error(Errc::invalid_argument, "slice wants a positive count");
  const Values items = GLM_TRY(items_of(engine, self));
  GLM_TRY(engine.meter().items(static_cast<std::size_t>(std::min<Int>(slices, kStepsMax))));
  const auto count = static_cast<std::size_t>(slices);
  const std::size_t each = items.size() / count;
  const std::size_t longer = items.size() % count;
  Values out;
  std::size_t at = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t size = each + (i < longer ? 1 : 0);
    Values part(items.begin() + static_cast<std::ptrdiff_t>(at),
                items.begin() + static_cast<std::ptrdiff_t>(at + size));
    at += size;
    const bool fill = !bound[1].is(Kind::missing) && !bound[1].is(Kind::none);
    if (fill && longer > 0 && i >= longer) part.push_back(bound[1]);
    out.push_back(GLM_TRY(engine.list(std::move(part))));
  }
  return out;
}

Made slice_filter(Engine& engine, const Value& self, const Arguments& arguments) {
  const auto bound = GLM_TRY(arguments.bind("slice", {"slices", "fill_with"}, 1));
  return engine.iterator(slices_of(engine, self, bound));
}

constexpr Builtin<Native> kTable[] = {
    {"batch", &batch_filter},
    {"count", &length_filter},
    {"first", &first_filter},
    {"items", &items_filter},
    {"join", &join_filter},
    {"last", &last_filter},
    {"length", &length_filter},
    {"list", &list_filter},
    {"map", &map_filter},
    {"reject", &select_filter<Keep::failing, By::item>},
    {"rejectattr", &select_filter<Keep::failing, By::attribute>},
    {"reverse", &reverse_filter},
    {"select", &select_filter<Keep::passing, By::item>},
    {"selectattr", &select_filter<Keep::passing, By::attribute>},
    {"slice", &slice_filter},
    {"sum", &sum_filter},
};

}  // namespace

std::span<const Builtin<Native>> sequence_filters() {
  return kTable;
}

}  // namespace glm::runner::jinja
