#include "runner/text/jinja/operators.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "runner/text/jinja/python_text.h"
#include "runner/text/jinja/text_format.h"
#include "runner/text/utf8.h"

namespace glm::runner::jinja {
namespace {

constexpr std::string_view kSymbols[] = {"+", "-", "*", "/", "//", "%", "**"};

Error unsupported_operands(BinaryOp op, const Value& left, const Value& right) {
  return make_error(Errc::invalid_argument, "unsupported operand types for {}: '{}' and '{}'",
                    kSymbols[static_cast<std::size_t>(op)], type_name(left), type_name(right));
}

Error overflow() {
  return make_error(Errc::exhausted, "an integer grew beyond 127 bits");
}

Error zero_division() {
  return make_error(Errc::invalid_argument, "division by zero");
}

struct Division {
  Int quotient, remainder;
};

// Rounds down, as Python does; the divisor is not zero.
Division floor_division(Int left, Int right) {
  Division out{left / right, left % right};
  if (out.remainder != 0 && (out.remainder < 0) != (right < 0)) {
    --out.quotient;
    out.remainder += right;
  }
  return out;
}

Result<Value> integer_power(Int base, Int exponent) {
  if (exponent < 0) {
    if (base == 0) return zero_division();
    return Value::real(std::pow(static_cast<double>(base), static_cast<double>(exponent)));
  }
  Int result = 1;
  while (exponent > 0) {
    if ((exponent & 1) != 0 && __builtin_mul_overflow(result, base, &result)) return overflow();
    exponent >>= 1;
    if (exponent > 0 && __builtin_mul_overflow(base, base, &base)) return overflow();
  }
  return Value::integer(result);
}

Result<Value> integers(BinaryOp op, Int left, Int right) {
  Int result = 0;
  switch (op) {
    case BinaryOp::add:
      if (__builtin_add_overflow(left, right, &result)) return overflow();
      return Value::integer(result);
    case BinaryOp::subtract:
      if (__builtin_sub_overflow(left, right, &result)) return overflow();
      return Value::integer(result);
    case BinaryOp::multiply:
      if (__builtin_mul_overflow(left, right, &result)) return overflow();
      return Value::integer(result);
    case BinaryOp::divide:
      if (right == 0) return zero_division();
      return Value::real(static_cast<double>(left) / static_cast<double>(right));
    case BinaryOp::floor_divide:
    case BinaryOp::modulo: {
      if (right == 0) return zero_division();
      if (right == -1) {  // the smallest integer has no opposite
        if (op == BinaryOp::modulo) return Value::integer(0);
        if (__builtin_sub_overflow(Int(0), left, &result)) return overflow();
        return Value::integer(result);
      }
      const Division division = floor_division(left, right);
      return Value::integer(op == BinaryOp::modulo ? division.remainder : division.quotient);
    }
    case BinaryOp::power:
      return integer_power(left, right);
  }
  return overflow();
}

double float_modulo(double left, double right) {
  const double remainder = std::fmod(left, right);
  if (remainder == 0) return std::copysign(0.0, right);
  return (remainder < 0) != (right < 0) ? remainder + right : remainder;
}

Result<Value> reals(BinaryOp op, double left, double right) {
  switch (op) {
    case BinaryOp::add:
      return Value::real(left + right);
    case BinaryOp::subtract:
      return Value::real(left - right);
    case BinaryOp::multiply:
      return Value::real(left * right);
    case BinaryOp::divide:
      if (right == 0) return zero_division();
      return Value::real(left / right);
    case BinaryOp::floor_divide:
      if (right == 0) return zero_division();
      return Value::real(std::floor(left / right));
    case BinaryOp::modulo:
      if (right == 0) return zero_division();
      return Value::real(float_modulo(left, right));
    case BinaryOp::power:
      if (left == 0 && right < 0) return zero_division();
      return Value::real(std::pow(left, right));
  }
  return zero_division();
}

Result<Value> repeat(Room& room, const Value& sequence, Int count) {
  const auto times = static_cast<std::size_t>(std::clamp<Int>(count, 0, kStepsMax));
  if (sequence.is(Kind::text)) {
    const std::string& text = sequence.text();
    GLM_TRY(room.meter.text(times > 0 && text.size() > kTextMaxBytes / times
                                ? kTextMaxBytes + 1
                                : text.size() * times));
    std::string out;
    out.reserve(text.size() * times);
    for (std::size_t i = 0; i < times && !text.empty(); ++i) out += text;
    return Value::text(std::move(out));
  }
  const auto& items = sequence.items().items;
  GLM_TRY(room.meter.items(items.size() * times));
  std::vector<Value> out;
  for (std::size_t i = 0; i < times && !items.empty(); ++i) {
    out.insert(out.end(), items.begin(), items.end());
  }
  return sequence.is(Kind::list) ? room.heap.list(std::move(out)) : room.heap.tuple(std::move(out));
}

Result<Value> join_sequences(Room& room, const Value& left, const Value& right) {
  const auto& first = left.items().items;
  const auto& second = right.items().items;
  GLM_TRY(room.meter.items(first.size() + second.size()));
  std::vector<Value> out(first);
  out.insert(out.end(), second.begin(), second.end());
  return left.is(Kind::list) ? room.heap.list(std::move(out)) : room.heap.tuple(std::move(out));
}

bool equal_at(const Value& left, const Value& right, int depth);

bool equal_items(const List& left, const List& right, int depth) {
  return std::equal(left.items.begin(), left.items.end(), right.items.begin(), right.items.end(),
                    [&](const Value& a, const Value& b) { return equal_at(a, b, depth + 1); });
}

bool equal_dicts(const Dict& left, const Dict& right, int depth) {
  if (left.entries().size() != right.entries().size()) return false;
  return std::all_of(left.entries().begin(), left.entries().end(), [&](const Dict::Entry& entry) {
    const Value* other = right.find(entry.first);
    return other != nullptr && equal_at(entry.second, *other, depth + 1);
  });
}

bool equal_at(const Value& left, const Value& right, int depth) {
  if (depth > kNestingMax) return false;
  if (left.is_number() && right.is_number()) {
    if (left.is_integral() && right.is_integral()) return left.integral() == right.integral();
    return left.number() == right.number();
  }
  if (left.kind() != right.kind()) return false;
  switch (left.kind()) {
    case Kind::missing:
    case Kind::undefined:
    case Kind::none:
      return true;
    case Kind::text:
      return left.text() == right.text();
    case Kind::list:
    case Kind::tuple:
      return left.identity() == right.identity() || equal_items(left.items(), right.items(), depth);
    case Kind::dict:
      return left.identity() == right.identity() || equal_dicts(left.dict(), right.dict(), depth);
    default:
      return left.identity() == right.identity();
  }
}

Result<std::partial_ordering> order_at(std::string_view symbol, const Value& left,
                                       const Value& right, int depth) {
  if (left.is_number() && right.is_number()) {
    if (!left.is_integral() || !right.is_integral()) return left.number() <=> right.number();
    if (left.integral() == right.integral()) return std::partial_ordering::equivalent;
    return left.integral() < right.integral() ? std::partial_ordering::less
                                              : std::partial_ordering::greater;
  }
  if (left.is(Kind::text) && right.is(Kind::text)) {
    // The order of UTF-8 bytes, unsigned, is that of code points.
    const int sign = left.text().compare(right.text());
    return sign <=> 0;
  }
  if (left.is_sequence() && left.kind() == right.kind() && depth < kNestingMax) {
    const auto& first = left.items().items;
    const auto& second = right.items().items;
    for (std::size_t i = 0; i < std::min(first.size(), second.size()); ++i) {
      if (equal(first[i], second[i])) continue;
      return order_at(symbol, first[i], second[i], depth + 1);
    }
    return first.size() <=> second.size();
  }
  GLM_TRY(require_defined(left));
  GLM_TRY(require_defined(right));
  return make_error(Errc::invalid_argument, "'{}' not supported between instances of '{}' and '{}'",
                    symbol, type_name(left), type_name(right));
}

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

}  // namespace

Status require_defined(const Value& value) {
  if (!value.is(Kind::undefined)) return Ok{};
  return make_error(Errc::invalid_argument, "{}", value.text());
}

Result<Value> binary(Room& room, BinaryOp op, const Value& left, const Value& right) {
  GLM_TRY(require_defined(left));
  if (op == BinaryOp::modulo && left.is(Kind::text)) return percent_format(room, left, right);
  GLM_TRY(require_defined(right));
  if (left.is_integral() && right.is_integral()) {
    return integers(op, left.integral(), right.integral());
  }
  if (left.is_number() && right.is_number()) return reals(op, left.number(), right.number());
  if (op == BinaryOp::add) {
    if (left.is(Kind::text) && right.is(Kind::text)) {
      GLM_TRY(room.meter.text(left.text().size() + right.text().size()));
      return Value::text(left.text() + right.text());
    }
    if (left.is_sequence() && left.kind() == right.kind()) return join_sequences(room, left, right);
  }
  if (op == BinaryOp::multiply) {
    const auto repeats = [](const Value& v) { return v.is(Kind::text) || v.is_sequence(); };
    if (repeats(left) && right.is_integral()) return repeat(room, left, right.integral());
    if (repeats(right) && left.is_integral()) return repeat(room, right, left.integral());
  }
  return unsupported_operands(op, left, right);
}

Result<Value> negate(const Value& value) {
  GLM_TRY(require_defined(value));
  if (value.is(Kind::real)) return Value::real(-value.real());
  Int result = 0;
  if (!value.is_integral()) {
    return make_error(Errc::invalid_argument, "bad operand type for unary -: '{}'",
                      type_name(value));
  }
  if (__builtin_sub_overflow(Int(0), value.integral(), &result)) return overflow();
  return Value::integer(result);
}

Result<Value> plus(const Value& value) {
  GLM_TRY(require_defined(value));
  if (value.is(Kind::real)) return value;
  if (value.is_integral()) return Value::integer(value.integral());
  return make_error(Errc::invalid_argument, "bad operand type for unary +: '{}'", type_name(value));
}

bool truthy(const Value& value) {
  switch (value.kind()) {
    case Kind::missing:
    case Kind::undefined:
    case Kind::none:
      return false;
    case Kind::boolean:
      return value.boolean();
    case Kind::integer:
      return value.integral() != 0;
    case Kind::real:
      return value.real() != 0;
    case Kind::text:
      return !value.text().empty();
    case Kind::list:
    case Kind::tuple:
      return !value.items().items.empty();
    case Kind::dict:
      return !value.dict().entries().empty();
    default:
      return true;
  }
}

bool equal(const Value& left, const Value& right) {
  return equal_at(left, right, 0);
}

Result<std::partial_ordering> order(std::string_view symbol, const Value& left,
                                    const Value& right) {
  return order_at(symbol, left, right, 0);
}

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
    return Value::text(std::string(character_at(value.text(), static_cast<std::size_t>(index))));
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
    return Value::text(std::move(out));
  }
  if (!value.is_sequence()) {
    return Value::undefined(fmt::format("'{} object' cannot be sliced", type_name(value)));
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

Result<std::vector<Value>> iterate(Room& room, const Value& value) {
  std::vector<Value> out;
  switch (value.kind()) {
    case Kind::undefined:
      return out;
    case Kind::list:
    case Kind::tuple:
      GLM_TRY(room.meter.items(value.items().items.size()));
      return value.items().items;
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
