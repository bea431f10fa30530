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
    return Value::text(std::move(out)).as_markup(sequence.is_markup());
  }
  const auto& items = sequence.items().items;
  GLM_TRY(room.meter.items(items.size() * times));
  std::vector<Value> out;
  for (std::size_t i = 0; i < times && !items.empty(); ++i) {
    out.insert(out.end(), items.begin(), items.end());
  }
  return sequence.is(Kind::list) ? room.heap.list(std::move(out)) : room.heap.tuple(std::move(out));
}

Result<Value> join_texts(Room& room, const Value& left, const Value& right) {
  const bool markup = left.is_markup() || right.is_markup();
  const Value first = GLM_TRY(markup ? escaped(room, left) : left);
  const Value second = GLM_TRY(markup ? escaped(room, right) : right);
  GLM_TRY(room.meter.text(first.text().size() + second.text().size()));
  return Value::text(first.text() + second.text()).as_markup(markup);
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

// Ranges as sequences, keys and items as sets; values() is equal to itself only.
bool equal_views(const View& left, const View& right, int depth) {
  if (left.of != right.of || left.of == View::Of::values) return false;
  if (left.items.size() != right.items.size()) return false;
  if (left.of == View::Of::range) {
    return std::equal(left.items.begin(), left.items.end(), right.items.begin(), &equal);
  }
  return std::all_of(left.items.begin(), left.items.end(), [&](const Value& item) {
    return std::any_of(right.items.begin(), right.items.end(),
                       [&](const Value& other) { return equal_at(item, other, depth + 1); });
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
    case Kind::view:
      return left.identity() == right.identity() ||
             equal_views(left.as<View>(), right.as<View>(), depth);
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

}  // namespace

Result<Value> escaped(Room& room, const Value& value) {
  if (value.is_markup()) return value;
  const std::string text = GLM_TRY(to_text(value));
  GLM_TRY(room.meter.text(text.size()));
  return Value::text(escape_html(text)).as_markup();
}

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
    if (left.is(Kind::text) && right.is(Kind::text)) return join_texts(room, left, right);
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
    case Kind::view:
      return !value.as<View>().items.empty();
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

}  // namespace glm::runner::jinja
