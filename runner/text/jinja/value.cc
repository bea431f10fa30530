#include "runner/text/jinja/value.h"

#include <algorithm>

#include "runner/text/jinja/operators.h"

namespace glm::runner::jinja {

Value Value::boolean(bool value) {
  Value out(Kind::boolean);
  out.boolean_ = value;
  return out;
}

Value Value::integer(Int value) {
  Value out(Kind::integer);
  out.integer_ = value;
  return out;
}

Value Value::real(double value) {
  Value out(Kind::real);
  out.real_ = value;
  return out;
}

Value Value::text(std::string value) {
  return text(std::make_shared<const std::string>(std::move(value)));
}

Value Value::text(std::shared_ptr<const std::string> value) {
  Value out(Kind::text);
  out.text_ = std::move(value);
  return out;
}

Value Value::undefined(std::string reason) {
  Value out(Kind::undefined);
  out.text_ = std::make_shared<const std::string>(std::move(reason));
  return out;
}

Value Value::list(List* items) {
  Value out(Kind::list);
  out.list_ = items;
  return out;
}

Value Value::tuple(List* items) {
  Value out(Kind::tuple);
  out.list_ = items;
  return out;
}

Value Value::dict(Dict* entries) {
  Value out(Kind::dict);
  out.dict_ = entries;
  return out;
}

Value Value::object(Kind kind, Object* object) {
  Value out(kind);
  out.object_ = object;
  return out;
}

Value Value::as_markup(bool markup) const {
  Value out = *this;
  out.markup_ = markup && kind_ == Kind::text;
  return out;
}

bool Value::is_number() const {
  return is_integral() || kind_ == Kind::real;
}

bool Value::is_integral() const {
  return kind_ == Kind::integer || kind_ == Kind::boolean;
}

const void* Value::identity() const {
  if (is_sequence()) return list_;
  if (kind_ == Kind::dict) return dict_;
  if (kind_ == Kind::text) return text_.get();
  if (kind_ >= Kind::space) return object_;
  return nullptr;
}

std::ptrdiff_t Dict::index_of(const Value& key) const {
  if (key.is(Kind::text)) {
    const auto found = by_text_.find(key.text());
    return found == by_text_.end() ? -1 : static_cast<std::ptrdiff_t>(found->second);
  }
  // Other keys are rare, and such dicts small.
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    if (!entries_[i].first.is(Kind::text) && equal(entries_[i].first, key)) {
      return static_cast<std::ptrdiff_t>(i);
    }
  }
  return -1;
}

const Value* Dict::find(const Value& key) const {
  const std::ptrdiff_t index = index_of(key);
  return index < 0 ? nullptr : &entries_[static_cast<std::size_t>(index)].second;
}

const Value* Dict::find(std::string_view key) const {
  const auto found = by_text_.find(key);
  return found == by_text_.end() ? nullptr : &entries_[found->second].second;
}

void Dict::set(Value key, Value value) {
  const std::ptrdiff_t index = index_of(key);
  if (index >= 0) {
    entries_[static_cast<std::size_t>(index)].second = std::move(value);
    return;
  }
  // The view outlives the move of the key: its text is on the free store.
  if (key.is(Kind::text)) by_text_.emplace(key.text(), entries_.size());
  entries_.emplace_back(std::move(key), std::move(value));
}

bool Dict::erase(const Value& key) {
  const std::ptrdiff_t index = index_of(key);
  if (index < 0) return false;
  by_text_.clear();
  entries_.erase(entries_.begin() + index);
  reindex();
  return true;
}

void Dict::reindex() {
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    if (entries_[i].first.is(Kind::text)) by_text_.emplace(entries_[i].first.text(), i);
  }
}

std::string_view type_name(const Value& value) {
  switch (value.kind()) {
    case Kind::missing:
      return "missing";
    case Kind::undefined:
      return "Undefined";
    case Kind::none:
      return "NoneType";
    case Kind::boolean:
      return "bool";
    case Kind::integer:
      return "int";
    case Kind::real:
      return "float";
    case Kind::text:
      return "str";
    case Kind::list:
      return "list";
    case Kind::tuple:
      return "tuple";
    case Kind::dict:
      return "dict";
    case Kind::space:
      return "Namespace";
    case Kind::macro:
      return "Macro";
    case Kind::loop:
      return "LoopContext";
    case Kind::function:
      return "function";
    case Kind::view:
      switch (value.as<View>().of) {
        case View::Of::keys:
          return "dict_keys";
        case View::Of::values:
          return "dict_values";
        case View::Of::items:
          return "dict_items";
        case View::Of::range:
          return "range";
      }
      break;
    case Kind::iterator:
      return "generator";
  }
  return "object";
}

bool hashable(const Value& value, int depth) {
  if (value.is(Kind::list) || value.is(Kind::dict) || depth > kNestingMax) return false;
  if (value.is(Kind::view)) return value.as<View>().of == View::Of::range;
  if (!value.is(Kind::tuple)) return true;
  return std::all_of(value.items().items.begin(), value.items().items.end(),
                     [&](const Value& item) { return hashable(item, depth + 1); });
}

}  // namespace glm::runner::jinja
