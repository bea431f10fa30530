// What template expressions compute with: Python's values, as far as templates need them.
//
// Text is shared and immutable. Containers and callables live in the Heap of one rendering and are
// referred to by pointer, as in Python; they may refer to each other in circles.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/result.h"

namespace glm::runner::jinja {

__extension__ typedef __int128 Int;  // holds any JSON integer; Python's would grow further

class Value;
class Dict;
struct List;

// Namespaces, macros, loops, functions.
struct Object {
  virtual ~Object() = default;
};

enum class Kind : std::uint8_t {
  missing,    // an argument that was not given; never seen by templates
  undefined,  // falsy, prints as nothing; text() says what was looked for
  none,
  boolean,
  integer,
  real,
  text,
  list,
  tuple,
  dict,
  space,  // namespace()
  macro,
  loop,
  function,
  view,      // dict.keys() and its like, range(): iterated as often as one likes
  iterator,  // what map, select and their like give: iterated once, and always true
};

class Value {
 public:
  Value() = default;  // missing
  static Value none() { return Value(Kind::none); }
  static Value boolean(bool value);
  static Value integer(Int value);
  static Value real(double value);
  static Value text(std::string value);
  static Value text(std::shared_ptr<const std::string> value);
  static Value undefined(std::string reason);  // "'x' is undefined"
  static Value list(List* items);
  static Value tuple(List* items);
  static Value dict(Dict* entries);
  static Value object(Kind kind, Object* object);

  Kind kind() const { return kind_; }
  bool is(Kind kind) const { return kind_ == kind; }
  bool is_number() const;    // integer, real or boolean: bool is an int
  bool is_integral() const;  // integer or boolean
  bool is_sequence() const { return kind_ == Kind::list || kind_ == Kind::tuple; }

  // Only for the matching kind.
  bool boolean() const { return boolean_; }
  Int integral() const { return kind_ == Kind::boolean ? Int(boolean_) : integer_; }
  double number() const { return kind_ == Kind::real ? real_ : static_cast<double>(integral()); }
  double real() const { return real_; }
  const std::string& text() const { return *text_; }
  List& items() const { return *list_; }
  Dict& dict() const { return *dict_; }
  template <typename T>
  T& as() const {
    return static_cast<T&>(*object_);
  }
  const void* identity() const;  // of the container or object

  // Text that the filter "safe" or "escape" went over, Python's Markup: joined with other text, it
  // escapes that.
  bool is_markup() const { return markup_; }
  Value as_markup(bool markup = true) const;

 private:
  explicit Value(Kind kind) : kind_(kind) {}

  Kind kind_ = Kind::missing;
  bool markup_ = false;
  union {
    bool boolean_;
    Int integer_ = 0;
    double real_;
    List* list_;
    Dict* dict_;
    Object* object_;
  };
  std::shared_ptr<const std::string> text_;
};

struct List {
  std::vector<Value> items;
};

// Keeps the order of insertion. Keys are compared as Python does it: 1, 1.0 and true are one key.
class Dict {
 public:
  using Entry = std::pair<Value, Value>;

  const Value* find(const Value& key) const;
  const Value* find(std::string_view key) const;
  void set(Value key, Value value);
  void set(std::string_view key, Value value) { set(Value::text(std::string(key)), value); }
  bool erase(const Value& key);
  const std::vector<Entry>& entries() const { return entries_; }

 private:
  std::ptrdiff_t index_of(const Value& key) const;
  void reindex();

  std::vector<Entry> entries_;
  std::unordered_map<std::string_view, std::size_t> by_text_;  // views of the keys' own text
};

struct Space final : Object {
  Dict attributes;
};

struct View final : Object {
  enum class Of { keys, values, items, range };
  Of of = Of::keys;
  std::vector<Value> items;
  Int start = 0, stop = 0, step = 1;  // of a range
};

struct Iterator final : Object {
  std::vector<Value> items;
  std::size_t next = 0;
  // Filters are lazy in Python: what goes wrong in one is an error when its items are wanted.
  std::optional<Error> failure;
};

// Owns everything of one rendering that is not text.
class Heap {
 public:
  template <typename T, typename... Args>
  T* make(Args&&... args) {
    auto owned = std::make_shared<T>(std::forward<Args>(args)...);
    T* raw = owned.get();
    owned_.push_back(std::move(owned));
    return raw;
  }
  Value list(std::vector<Value> items) { return Value::list(make<List>(List{std::move(items)})); }
  Value tuple(std::vector<Value> items) { return Value::tuple(make<List>(List{std::move(items)})); }
  Value view(View::Of of, std::vector<Value> items) {
    View* view = make<View>();
    view->of = of;
    view->items = std::move(items);
    return Value::object(Kind::view, view);
  }
  // Of the items, or of the reason why there are none.
  Value iterator(Result<std::vector<Value>> items) {
    Iterator* iterator = make<Iterator>();
    if (items.ok()) {
      iterator->items = *std::move(items);
    } else {
      iterator->failure = std::move(items).error();
    }
    return Value::object(Kind::iterator, iterator);
  }

 private:
  std::vector<std::shared_ptr<void>> owned_;
};

// "str", "int", "NoneType", "dict" …
std::string_view type_name(const Value& value);

// Whether a value may be a key; not beyond some depth of nesting either.
bool hashable(const Value& value, int depth = 0);

}  // namespace glm::runner::jinja
