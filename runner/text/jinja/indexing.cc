// Reaching into containers: in, [key], [first:end:step], for.
#include <algorithm>
#include <iterator>
#include <utility>

#include "runner/text/jinja/operators.h"
#include "runner/text/jinja/python_text.h"
#include "runner/text/utf8.h"

namespace glm::runner::jinja {
namespace {

// The bytes of character number `index`, which exists.
std::string_view character_at(std::string_view text, std::size_t index) {
  std::size_t at = 0;
  for (; index > 0; --index) at += utf8_character(text, at).length_bytes;
  return text.substr(at, utf8_character(text, at).length_bytes);
}

std::vector<std::string_view> characters(std::string_view text) {
  std::vector<std::string_view> out;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t length_bytes = utf8_character(text, at).length_bytes;
    out.push_back(text.substr(at, length_bytes));
    at += length_bytes;
  }
  return out;
}

struct Indices {
  Int first, end, step;
};

Result<Indices> slice_indices(const Slice& bounds, Int length) {
  const auto number = [](const Value& value, Int fallback) -> Result<Int> {
    if (value.is(Kind::none) || value.is(Kind::missing)) return fallback;
    if (!value.is_integral()) {
      GLM_TRY(require_defined(value));
      return make_error(Errc::invalid_argument, "slice indices must be integers or None, not {}",
                        type_name(value));
    }
    return value.integral();
  };
  Indices out{};
  out.step = GLM_TRY(number(bounds.step, 1));
  if (out.step == 0) return make_error(Errc::invalid_argument, "slice step cannot be zero");
  const bool backward = out.step < 0;
  const Int lowest = backward ? -1 : 0;
  const Int highest = backward ? length - 1 : length;
  const auto clamp = [&](Int index) {
    if (index < 0) index += length;
    return std::clamp(index, lowest, highest);
  };
  // What is left out is not clamped again: -1 means "before the first" there.
  const bool has_first = !bounds.first.is(Kind::none) && !bounds.first.is(Kind::missing);
  const bool has_end = !bounds.end.is(Kind::none) && !bounds.end.is(Kind::missing);
  out.first = has_first ? clamp(GLM_TRY(number(bounds.first, 0))) : (backward ? length - 1 : 0);
  out.end = has_end ? clamp(GLM_TRY(number(bounds.end, 0))) : (backward ? -1 : length);
  return out;
}

// Beyond this, a step passes every end anyway; keeps the arithmetic from overflowing.
Int bounded_step(Int step) {
  return std::clamp<Int>(step, -kStepsMax * 4, kStepsMax * 4);
}

// range(0, 10)[2:8:3] is range(2, 8, 3).
Result<Value> slice_range(Room& room, const View& range, const Slice& bounds) {
  Indices at = GLM_TRY(slice_indices(bounds, static_cast<Int>(range.items.size())));
  at.step = bounded_step(at.step);
  View* out = room.heap.make<View>();
  out->of = View::Of::range;
  out->start = range.start + at.first * range.step;
  out->stop = range.start + at.end * range.step;
  out->step = range.step * at.step;
  for (Int i = at.first; at.step > 0 ? i < at.end : i > at.end; i += at.step) {
    out->items.push_back(range.items[static_cast<std::size_t>(i)]);
  }
  GLM_TRY(room.meter.items(out->items.size()));
  return Value::object(Kind::view, out);
}

}  // namespace

Result<bool> contains(Room& room, const Value& container, const Value& item) {
  switch (container.kind()) {
    case Kind::undefined:
      return false;
    case Kind::text:
      if (!item.is(Kind::text)) {
        GLM_TRY(require_defined(item));
        return make_error(Errc::invalid_argument,
                          "'in <string>' requires string as left operand, not {}", type_name(item));
      }
      GLM_TRY(room.meter.spend(container.text().size() / 32));
      return container.text().find(item.text()) != std::string::npos;
    case Kind::list:
    case Kind::tuple: {
      const auto& items = container.items().items;
      GLM_TRY(room.meter.spend(items.size()));
      return std::any_of(items.begin(), items.end(),
                         [&](const Value& element) { return equal(element, item); });
    }
    case Kind::view: {
      const auto& items = container.as<View>().items;
      GLM_TRY(room.meter.spend(items.size()));
      return std::any_of(items.begin(), items.end(),
                         [&](const Value& element) { return equal(element, item); });
    }
    case Kind::iterator: {  // takes items until it finds one
      auto& iterator = container.as<Iterator>();
      if (iterator.failure) return *iterator.failure;
      GLM_TRY(room.meter.spend(iterator.items.size() - iterator.next));
      while (iterator.next < iterator.items.size()) {
        if (equal(iterator.items[iterator.next++], item)) return true;
      }
      return false;
    }
    case Kind::dict:
      if (!hashable(item)) {
        return make_error(Errc::invalid_argument, "unhashable type: '{}'", type_name(item));
      }
      return container.dict().find(item) != nullptr;
    default:
      return make_error(Errc::invalid_argument, "argument of type '{}' is not iterable",
                        type_name(container));
  }
}

Result<Value> subscript(Room& room, const Value& value, const Value& key) {
  GLM_TRY(require_defined(value));
  const auto nothing = [&]() -> Result<Value> {
    const std::string name = GLM_TRY(to_repr(key));
    return Value::undefined(fmt::format("'{} object' has no {} {}", type_name(value),
                                        key.is(Kind::text) ? "attribute" : "element", name));
  };
  if (value.is(Kind::dict)) {
    if (!hashable(key)) return nothing();
    const Value* found = value.dict().find(key);
    return found != nullptr ? Result<Value>(*found) : nothing();
  }
  if (!key.is_integral()) return nothing();
  Int index = key.integral();
  if (value.is_sequence()) {
    const auto& items = value.items().items;
    const auto length = static_cast<Int>(items.size());
    if (index < 0) index += length;
    if (index < 0 || index >= length) return nothing();
    return items[static_cast<std::size_t>(index)];
  }
  if (value.is(Kind::text)) {
    GLM_TRY(room.meter.spend(value.text().size() / 32));
    const auto length = static_cast<Int>(character_count(value.text()));
    if (index < 0) index += length;
    if (index < 0 || index >= length) return nothing();
    return Value::text(std::string(character_at(value.text(), static_cast<std::size_t>(index))))
        .as_markup(value.is_markup());
  }
  if (value.is(Kind::view) && value.as<View>().of == View::Of::range) {
    const auto& items = value.as<View>().items;
    const auto length = static_cast<Int>(items.size());
    if (index < 0) index += length;
    if (index < 0 || index >= length) return nothing();
    return items[static_cast<std::size_t>(index)];
  }
  return nothing();
}

Result<Value> slice(Room& room, const Value& value, const Slice& bounds) {
  GLM_TRY(require_defined(value));
  if (value.is(Kind::text)) {
    GLM_TRY(room.meter.spend(value.text().size() / 8));
    const auto parts = characters(value.text());
    Indices at = GLM_TRY(slice_indices(bounds, static_cast<Int>(parts.size())));
    at.step = bounded_step(at.step);
    std::string out;
    for (Int i = at.first; at.step > 0 ? i < at.end : i > at.end; i += at.step) {
      out += parts[static_cast<std::size_t>(i)];
    }
    return Value::text(std::move(out)).as_markup(value.is_markup());
  }
  if (value.is(Kind::view) && value.as<View>().of == View::Of::range) {
    return slice_range(room, value.as<View>(), bounds);
  }
  if (!value.is_sequence()) {
    return make_error(Errc::invalid_argument, "'{}' object is not subscriptable", type_name(value));
  }
  const auto& items = value.items().items;
  Indices at = GLM_TRY(slice_indices(bounds, static_cast<Int>(items.size())));
  at.step = bounded_step(at.step);
  std::vector<Value> out;
  for (Int i = at.first; at.step > 0 ? i < at.end : i > at.end; i += at.step) {
    out.push_back(items[static_cast<std::size_t>(i)]);
  }
  GLM_TRY(room.meter.items(out.size()));
  return value.is(Kind::list) ? room.heap.list(std::move(out)) : room.heap.tuple(std::move(out));
}

bool iterable(const Value& value) {
  switch (value.kind()) {
    case Kind::undefined:
    case Kind::text:
    case Kind::list:
    case Kind::tuple:
    case Kind::dict:
    case Kind::view:
    case Kind::iterator:
      return true;
    default:
      return false;
  }
}

Result<std::vector<Value>> iterate(Room& room, const Value& value) {
  std::vector<Value> out;
  switch (value.kind()) {
    case Kind::undefined:
      return out;
    case Kind::list:
    case Kind::tuple:
      GLM_TRY(room.meter.items(value.items().items.size()));
      return value.items().items;
    case Kind::view:
      GLM_TRY(room.meter.items(value.as<View>().items.size()));
      return value.as<View>().items;
    case Kind::iterator: {
      auto& iterator = value.as<Iterator>();
      if (iterator.failure) return *iterator.failure;
      const auto first = iterator.items.begin() + static_cast<std::ptrdiff_t>(iterator.next);
      out.assign(std::move_iterator(first), std::move_iterator(iterator.items.end()));
      iterator.items.clear();
      iterator.next = 0;
      return out;
    }
    case Kind::dict:
      GLM_TRY(room.meter.items(value.dict().entries().size()));
      for (const auto& entry : value.dict().entries()) out.push_back(entry.first);
      return out;
    case Kind::text:
      GLM_TRY(room.meter.items(value.text().size()));
      for (const std::string_view c : characters(value.text())) {
        out.push_back(Value::text(std::string(c)));
      }
      return out;
    default:
      return make_error(Errc::invalid_argument, "'{}' object is not iterable", type_name(value));
  }
}

}  // namespace glm::runner::jinja
