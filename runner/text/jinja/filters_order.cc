// Filters that compare items with each other.
#include <algorithm>
#include <utility>

#include "runner/text/jinja/attribute_path.h"
#include "runner/text/jinja/filters.h"
#include "runner/text/jinja/python_text.h"

namespace glm::runner::jinja {
namespace {

using Made = Result<Value>;
using Values = std::vector<Value>;

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

// "a,b": by the first, then by the second.
Result<Values> sort_paths(Engine& engine, const Value& attribute) {
  if (!attribute.is(Kind::text)) return Values{attribute};
  const Value parts = GLM_TRY(find_method(Kind::text, "split")(
      engine, attribute, {.positional = {Value::text(",")}, .named = {}}));
  return parts.items().items;
}

Made sort_filter(Engine& engine, const Value& self, const Arguments& arguments) {
  const auto bound = GLM_TRY(arguments.bind("sort", {"reverse", "case_sensitive", "attribute"}, 0));
  const auto paths = GLM_TRY(sort_paths(engine, bound[2]));
  const bool case_sensitive = flag_argument(bound[1], false);
  const Values values = GLM_TRY(iterate(engine.room(), self));
  std::vector<Keyed> items;
  for (const Value& item : values) {
    Values keys;
    for (const Value& path : paths) {
      const Key key{path, case_sensitive};
      keys.push_back(GLM_TRY(key.of(engine, item)));
    }
    GLM_TRY(engine.meter().items(keys.size()));
    items.push_back({engine.heap().tuple(std::move(keys)), item});
  }
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

Result<Values> unique_items(Engine& engine, const Value& self, const Key& key) {
  Values out;
  Dict seen;
  for (const Value& item : GLM_TRY(iterate(engine.room(), self))) {
    Value by = GLM_TRY(key.of(engine, item));
    if (!hashable(by)) {
      return make_error(Errc::invalid_argument, "unhashable type: '{}'", type_name(by));
    }
    if (!by.is(Kind::text)) GLM_TRY(engine.meter().spend(seen.entries().size()));
    if (seen.find(by) != nullptr) continue;
    seen.set(std::move(by), Value::none());
    out.push_back(item);
  }
  return out;
}

Made unique_filter(Engine& engine, const Value& self, const Arguments& arguments) {
  const auto bound = GLM_TRY(arguments.bind("unique", {"case_sensitive", "attribute"}, 0));
  return engine.iterator(unique_items(engine, self, {bound[1], flag_argument(bound[0], false)}));
}

enum class Extreme { smallest, largest };

template <Extreme which>
Made extreme_filter(Engine& engine, const Value& self, const Arguments& arguments) {
  const auto bound = GLM_TRY(arguments.bind("min", {"case_sensitive", "attribute"}, 0));
  const Key key{bound[1], flag_argument(bound[0], false)};
  const Values values = GLM_TRY(iterate(engine.room(), self));
  const auto items = GLM_TRY(keyed(engine, values, key));
  if (items.empty()) return Value::undefined("no aggregated item, sequence was empty");
  const Keyed* best = &items.front();
  for (const Keyed& item : items) {
    if (&item == best) continue;
    const Keyed& first = which == Extreme::smallest ? item : *best;
    const Keyed& second = which == Extreme::smallest ? *best : item;
    if (GLM_TRY(order("<", first.key, second.key)) == std::partial_ordering::less) best = &item;
  }
  return best->item;
}

Made groupby_filter(Engine& engine, const Value& self, const Arguments& arguments) {
  const auto bound =
      GLM_TRY(arguments.bind("groupby", {"attribute", "default", "case_sensitive"}, 1));
  const Key key{bound[0], flag_argument(bound[2], false)};
  const Values values = GLM_TRY(iterate(engine.room(), self));
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
    {"dictsort", &dictsort_filter},
    {"groupby", &groupby_filter},
    {"max", &extreme_filter<Extreme::largest>},
    {"min", &extreme_filter<Extreme::smallest>},
    {"sort", &sort_filter},
    {"unique", &unique_filter},
};

}  // namespace

std::span<const Builtin<Native>> order_filters() {
  return kTable;
}

}  // namespace glm::runner::jinja
