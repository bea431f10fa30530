// Filters over lists and other things that can be iterated.
#include <algorithm>
#include <utility>

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

// item["a"]["b"] for "a.b"; parts of digits are indices. Missing or none: the item itself. At every
// step the fallback, if there is one, stands in for what is not there.
Result<Value> attribute_path(Engine& engine, Value item, const Value& path,
                             const Value& fallback = Value()) {
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

// What items are compared by: the attribute, in lower case unless case counts.
struct Key {
  const Value& path;
  bool case_sensitive;

  Result<Value> of(Engine& engine, const Value& item) const {
    Value key = GLM_TRY(attribute_path(engine, item, path));
    if (!case_sensitive && key.is(Kind::text)) return Value::text(lower(key.text()));
    return key;
  }
};

struct Keyed {
  Value key, item;
};

Result<std::vector<Keyed>> keyed(Engine& engine, const Values& items, const Key& key) {
  std::vector<Keyed> out;
  out.reserve(items.size());
  for (const Value& item : items) out.push_back({GLM_TRY(key.of(engine, item)), item});
  return out;
}

// Merge sort: stable, and safe with an order that fails or contradicts itself.
Status sort_keyed(Engine& engine, std::vector<Keyed>& items) {
  for (std::size_t width = 1; width < items.size(); width *= 2) {
    GLM_TRY(engine.meter().spend(items.size()));
    std::vector<Keyed> merged;
    merged.reserve(items.size());
    for (std::size_t first = 0; first < items.size(); first += 2 * width) {
      std::size_t left = first;
      const std::size_t middle = std::min(first + width, items.size());
      std::size_t right = middle;
      const std::size_t end = std::min(first + 2 * width, items.size());
      while (left < middle && right < end) {
        const auto compared = GLM_TRY(order("<", items[right].key, items[left].key));
        const bool take_right = compared == std::partial_ordering::less;
        merged.push_back(std::move(items[take_right ? right++ : left++]));
      }
      while (left < middle) merged.push_back(std::move(items[left++]));
      while (right < end) merged.push_back(std::move(items[right++]));
    }
    items = std::move(merged);
  }
  return Ok{};
}

// Descending, but equal ones keep their order, as Python's reverse=True has it.
void reverse_stably(std::vector<Keyed>& items) {
  std::reverse(items.begin(), items.end());
  for (auto first = items.begin(); first != items.end();) {
    auto end = first;
    while (end != items.end() && equal(end->key, first->key)) ++end;
    std::reverse(first, end);
    first = end;
  }
}

Made sort_filter(Engine& engine, const Value& self, const Arguments& arguments) {
  const auto bound = GLM_TRY(arguments.bind("sort", {"reverse", "case_sensitive", "attribute"}, 0));
  const Key key{bound[2], flag_argument(bound[1], false)};
  const Values values = GLM_TRY(items_of(engine, self));
  auto items = GLM_TRY(keyed(engine, values, key));
  GLM_TRY(sort_keyed(engine, items));
  if (flag_argument(bound[0], false)) reverse_stably(items);
  Values out;
  for (Keyed& item : items) out.push_back(std::move(item.item));
  return engine.list(std::move(out));
}

Made dictsort_filter(Engine& engine, const Value& self, const Arguments& arguments) {
  const auto bound = GLM_TRY(arguments.bind("dictsort", {"case_sensitive", "by", "reverse"}, 0));
  if (!self.is(Kind::dict)) {
    GLM_TRY(require_defined(self));
    return make_error(Errc::invalid_argument, "dictsort wants a mapping, got {}", type_name(self));
  }
  const std::string by = GLM_TRY(text_argument(bound[1], "by", "key"));
  if (by != "key" && by != "value") {
    return make_error(Errc::invalid_argument, "dictsort: by is 'key' or 'value', not '{}'", by);
  }
  Values pairs;
  for (const auto& [name, value] : self.dict().entries()) {
    pairs.push_back(engine.heap().tuple({name, value}));
  }
  GLM_TRY(engine.meter().items(pairs.size() * 2));
  const Value path = Value::integer(by == "key" ? 0 : 1);
  const Key key{path, flag_argument(bound[0], false)};
  auto items = GLM_TRY(keyed(engine, pairs, key));
  GLM_TRY(sort_keyed(engine, items));
  if (flag_argument(bound[2], false)) reverse_stably(items);
  Values out;
  for (Keyed& item : items) out.push_back(std::move(item.item));
  return engine.list(std::move(out));
}

Made unique_filter(Engine& engine, const Value& self, const Arguments& arguments) {
  const auto bound = GLM_TRY(arguments.bind("unique", {"case_sensitive", "attribute"}, 0));
  const Key key{bound[1], flag_argument(bound[0], false)};
  Values out;
  Dict seen;
  for (const Value& item : GLM_TRY(items_of(engine, self))) {
    Value by = GLM_TRY(key.of(engine, item));
    if (!hashable(by)) {
      return make_error(Errc::invalid_argument, "unhashable type: '{}'", type_name(by));
    }
    if (!by.is(Kind::text)) GLM_TRY(engine.meter().spend(seen.entries().size()));
    if (seen.find(by) != nullptr) continue;
    seen.set(std::move(by), Value::none());
    out.push_back(item);
  }
  return engine.list(std::move(out));
}

enum class Extreme { smallest, largest };

template <Extreme which>
Made extreme_filter(Engine& engine, const Value& self, const Arguments& arguments) {
  const auto bound = GLM_TRY(arguments.bind("min", {"case_sensitive", "attribute"}, 0));
  const Key key{bound[1], flag_argument(bound[0], false)};
  const Values values = GLM_TRY(items_of(engine, self));
  const auto items = GLM_TRY(keyed(engine, values, key));
  if (items.empty()) return Value::undefined("no aggregated item, sequence was empty");
  const Keyed* best = &items.front();
  for (const Keyed& item : items) {
    const Keyed& first = which == Extreme::smallest ? item : *best;
    const Keyed& second = which == Extreme::smallest ? *best : item;
    if (GLM_TRY(order("<", first.key, second.key)) == std::partial_ordering::less) best = &item;
  }
  return best->item;
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
  const Values items = GLM_TRY(items_of(engine, self));
  return items.empty() ? Value::undefined("no first item, sequence was empty") : items.front();
}

Made last_filter(Engine& engine, const Value& self, const Arguments& arguments) {
  GLM_TRY(arguments.bind("last", {}, 0));
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
  return engine.list(std::move(items));
}

Made items_filter(Engine& engine, const Value& self, const Arguments& arguments) {
  GLM_TRY(arguments.bind("items", {}, 0));
  Values out;
  if (self.is(Kind::undefined)) return engine.list(std::move(out));
  if (!self.is(Kind::dict)) {
    return make_error(Errc::invalid_argument, "can only get item pairs from a mapping, got {}",
                      type_name(self));
  }
  for (const auto& [key, value] : self.dict().entries()) {
    out.push_back(engine.heap().tuple({key, value}));
  }
  GLM_TRY(engine.meter().items(out.size() * 2));
  return engine.list(std::move(out));
}

Made map_filter(Engine& engine, const Value& self, const Arguments& arguments) {
  Values out;
  const Values items = GLM_TRY(items_of(engine, self));
  if (arguments.positional.empty()) {
    const auto bound = GLM_TRY(arguments.bind("map", {"attribute", "default"}, 1));
    for (const Value& item : items) {
      out.push_back(GLM_TRY(attribute_path(engine, item, bound[0], bound[1])));
    }
    return engine.list(std::move(out));
  }
  const std::string name = GLM_TRY(text_argument(arguments.positional[0], "filter", ""));
  Arguments rest = arguments;
  rest.positional.erase(rest.positional.begin());
  for (const Value& item : items) out.push_back(GLM_TRY(engine.filter(name, item, rest)));
  return engine.list(std::move(out));
}

enum class Keep { passing, failing };
enum class By { item, attribute };

// select(test, …), selectattr(attribute, test, …); without a test: what is true.
template <Keep keep, By by>
Made select_filter(Engine& engine, const Value& self, const Arguments& arguments) {
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
  return engine.list(std::move(out));
}

Made batch_filter(Engine& engine, const Value& self, const Arguments& arguments) {
  const auto bound = GLM_TRY(arguments.bind("batch", {"linecount", "fill_with"}, 1));
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
  return engine.list(std::move(rows));
}

Made slice_filter(Engine& engine, const Value& self, const Arguments& arguments) {
  const auto bound = GLM_TRY(arguments.bind("slice", {"slices", "fill_with"}, 1));
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
  return engine.list(std::move(out));
}

Made groupby_filter(Engine& engine, const Value& self, const Arguments& arguments) {
  const auto bound =
      GLM_TRY(arguments.bind("groupby", {"attribute", "default", "case_sensitive"}, 1));
  const Key key{bound[0], flag_argument(bound[2], false)};
  const Values values = GLM_TRY(items_of(engine, self));
  auto items = GLM_TRY(keyed(engine, values, key));
  if (!bound[1].is(Kind::missing)) {
    for (Keyed& item : items) {
      if (item.key.is(Kind::undefined)) item.key = bound[1];
    }
  }
  GLM_TRY(sort_keyed(engine, items));
  Values out;
  for (std::size_t first = 0; first < items.size();) {
    std::size_t end = first;
    Values group;
    while (end < items.size() && equal(items[end].key, items[first].key)) {
      group.push_back(items[end++].item);
    }
    Value name = GLM_TRY(attribute_path(engine, items[first].item, bound[0]));
    if (name.is(Kind::undefined)) name = items[first].key;
    const Value members = GLM_TRY(engine.list(std::move(group)));
    out.push_back(engine.heap().tuple({name, members}));
    first = end;
  }
  return engine.list(std::move(out));
}

constexpr Builtin<Native> kTable[] = {
    {"batch", &batch_filter},
    {"count", &length_filter},
    {"dictsort", &dictsort_filter},
    {"first", &first_filter},
    {"groupby", &groupby_filter},
    {"items", &items_filter},
    {"join", &join_filter},
    {"last", &last_filter},
    {"length", &length_filter},
    {"list", &list_filter},
    {"map", &map_filter},
    {"max", &extreme_filter<Extreme::largest>},
    {"min", &extreme_filter<Extreme::smallest>},
    {"reject", &select_filter<Keep::failing, By::item>},
    {"rejectattr", &select_filter<Keep::failing, By::attribute>},
    {"reverse", &reverse_filter},
    {"select", &select_filter<Keep::passing, By::item>},
    {"selectattr", &select_filter<Keep::passing, By::attribute>},
    {"slice", &slice_filter},
    {"sort", &sort_filter},
    {"sum", &sum_filter},
    {"unique", &unique_filter},
};

}  // namespace

std::span<const Builtin<Native>> sequence_filters() {
  return kTable;
}

}  // namespace glm::runner::jinja
