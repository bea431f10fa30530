// Python's operators.
#pragma once

#include <compare>

#include "base/result.h"
#include "runner/text/jinja/meter.h"
#include "runner/text/jinja/value.h"

namespace glm::runner::jinja {

// What operators and builtins need besides their operands.
struct Room {
  Heap& heap;
  Meter& meter;
};

enum class BinaryOp { add, subtract, multiply, divide, floor_divide, modulo, power };

// Errc::invalid_argument: no such operation on these types, overflow, division by zero.
Result<Value> binary(Room& room, BinaryOp op, const Value& left, const Value& right);
Result<Value> negate(const Value& value);
Result<Value> plus(const Value& value);

bool truthy(const Value& value);

// Never fails, as in Python; circular data compares unequal beyond kNestingMax.
bool equal(const Value& left, const Value& right);

// Errc::invalid_argument: "'<' not supported between instances of 'str' and 'int'".
Result<std::partial_ordering> order(std::string_view symbol, const Value& left, const Value& right);

Result<bool> contains(Room& room, const Value& container, const Value& item);

// value[key], as Jinja has it: nothing there is undefined, not an error.
Result<Value> subscript(Room& room, const Value& value, const Value& key);

struct Slice {
  Value first, end, step;  // none: as Python chooses
};
Result<Value> slice(Room& room, const Value& value, const Slice& bounds);

// Whether it can be iterated over; undefined values can, and are empty.
bool iterable(const Value& value);

// The items a for loop would see: a dict gives its keys, text its characters, undefined nothing.
Result<std::vector<Value>> iterate(Room& room, const Value& value);

// The value as text with HTML's special characters escaped, unless that was done before.
Result<Value> escaped(Room& room, const Value& value);

// Errc::invalid_argument with the reason of an undefined value.
Status require_defined(const Value& value);

}  // namespace glm::runner::jinja
