// Expressions.
#include <utility>

#include "runner/text/jinja/interpreter.h"
#include "runner/text/jinja/python_text.h"

namespace glm::runner::jinja {

Result<Value> Interpreter::evaluate(const Expr& expr, Scope& scope) {
  const Level level(*this);
  GLM_TRY(enter(expr.at));
  auto value = evaluate_kind(expr, scope);
  if (!value.ok()) return located(std::move(value).error(), expr.at);
  return value;
}

Result<Value> Interpreter::evaluate_kind(const Expr& expr, Scope& scope) {
  switch (expr.kind) {
    case Expr::Kind::literal:
      return static_cast<const Literal&>(expr).value;
    case Expr::Kind::name:
      return lookup(static_cast<const Name&>(expr), scope);
    case Expr::Kind::attribute:
      return evaluate_attribute(static_cast<const Attribute&>(expr), scope);
    case Expr::Kind::subscript:
      return evaluate_subscript(static_cast<const Subscript&>(expr), scope);
    case Expr::Kind::slice:
      return evaluate_slice(static_cast<const SliceExpr&>(expr), scope);
    case Expr::Kind::call:
      return evaluate_call(static_cast<const Call&>(expr), scope);
    case Expr::Kind::filter:
      return evaluate_filter(static_cast<const Applied&>(expr), scope);
    case Expr::Kind::test:
      return evaluate_test(static_cast<const Applied&>(expr), scope);
    case Expr::Kind::unary:
      return evaluate_unary(static_cast<const Unary&>(expr), scope);
    case Expr::Kind::binary:
      return evaluate_binary(static_cast<const Binary&>(expr), scope);
    case Expr::Kind::logic:
      return evaluate_logic(static_cast<const Logic&>(expr), scope);
    case Expr::Kind::compare:
      return evaluate_compare(static_cast<const Compare&>(expr), scope);
    case Expr::Kind::concat:
      return evaluate_concat(static_cast<const Sequence&>(expr), scope);
    case Expr::Kind::conditional:
      return evaluate_conditional(static_cast<const Conditional&>(expr), scope);
    case Expr::Kind::list:
    case Expr::Kind::tuple:
      return evaluate_sequence(static_cast<const Sequence&>(expr), scope);
    case Expr::Kind::dict:
      return evaluate_dict(static_cast<const Sequence&>(expr), scope);
  }
  return Value::none();
}

Result<Value> Interpreter::lookup(const Name& expr, Scope& scope) {
  if (const Value* found = scope.find(expr.name)) return *found;
  if (const Native global = find_global(expr.name)) {
    return Value::object(Kind::function, heap_.make<Function>(expr.name, global, Value()));
  }
  return Value::undefined(fmt::format("'{}' is undefined", expr.name));
}

Result<Value> Interpreter::evaluate_attribute(const Attribute& expr, Scope& scope) {
  const Value object = GLM_TRY(evaluate(*expr.object, scope));
  return attribute(*this, object, expr.name);
}

Result<Value> Interpreter::evaluate_subscript(const Subscript& expr, Scope& scope) {
  const Value object = GLM_TRY(evaluate(*expr.object, scope));
  const Value key = GLM_TRY(evaluate(*expr.key, scope));
  GLM_TRY(require_defined(object));
  const Value found = GLM_TRY(subscript(room_, object, key));
  // object["name"] falls back to the attribute.
  if (found.is(Kind::undefined) && key.is(Kind::text)) return attribute(*this, object, key.text());
  return found;
}

Result<Value> Interpreter::evaluate_optional(const ExprPtr& expr, Scope& scope) {
  return expr ? evaluate(*expr, scope) : Value::none();
}

Result<Value> Interpreter::evaluate_slice(const SliceExpr& expr, Scope& scope) {
  const Value object = GLM_TRY(evaluate(*expr.object, scope));
  Slice bounds;
  bounds.first = GLM_TRY(evaluate_optional(expr.first, scope));
  bounds.end = GLM_TRY(evaluate_optional(expr.end, scope));
  bounds.step = GLM_TRY(evaluate_optional(expr.step, scope));
  return slice(room_, object, bounds);
}

Result<Arguments> Interpreter::evaluate_arguments(const CallArguments& arguments, Scope& scope) {
  Arguments out;
  for (const ExprPtr& expr : arguments.positional) {
    out.positional.push_back(GLM_TRY(evaluate(*expr, scope)));
  }
  for (const auto& [name, expr] : arguments.named) {
    out.named.emplace_back(name, GLM_TRY(evaluate(*expr, scope)));
  }
  if (arguments.star) {
    const Value star = GLM_TRY(evaluate(*arguments.star, scope));
    for (Value& item : GLM_TRY(iterate(room_, star))) out.positional.push_back(std::move(item));
  }
  if (arguments.double_star) {
    const Value named = GLM_TRY(evaluate(*arguments.double_star, scope));
    if (!named.is(Kind::dict)) {
      return make_error(Errc::invalid_argument, "argument after ** must be a mapping, not {}",
                        type_name(named));
    }
    for (const auto& [key, value] : named.dict().entries()) {
      if (!key.is(Kind::text))
        return make_error(Errc::invalid_argument, "keywords must be strings");
      out.named.emplace_back(key.text(), value);
    }
  }
  return out;
}

Result<Value> Interpreter::evaluate_call(const Call& expr, Scope& scope, const Value* caller) {
  const Value callee = GLM_TRY(evaluate(*expr.callee, scope));
  Arguments arguments = GLM_TRY(evaluate_arguments(expr.arguments, scope));
  if (caller != nullptr) arguments.named.emplace_back("caller", *caller);
  return call(callee, arguments);
}

Result<Value> Interpreter::evaluate_filter(const Applied& expr, Scope& scope, const Value* block) {
  // The innermost filter of a block's chain has no input of its own.
  Value input;
  if (!expr.input) {
    input = *block;
  } else if (block != nullptr) {
    const Level level(*this);
    GLM_TRY(enter(expr.at));
    input = GLM_TRY(evaluate_filter(static_cast<const Applied&>(*expr.input), scope, block));
  } else {
    input = GLM_TRY(evaluate(*expr.input, scope));
  }
  return filter(expr.name, input, GLM_TRY(evaluate_arguments(expr.arguments, scope)));
}

Result<Value> Interpreter::evaluate_test(const Applied& expr, Scope& scope) {
  const Value input = GLM_TRY(evaluate(*expr.input, scope));
  const Arguments arguments = GLM_TRY(evaluate_arguments(expr.arguments, scope));
  return Value::boolean(GLM_TRY(test(expr.name, input, arguments)));
}

Result<Value> Interpreter::filter(std::string_view name, const Value& input,
                                  const Arguments& arguments) {
  const Native found = find_filter(name);
  if (found == nullptr) {
    return make_error(Errc::invalid_argument, "no filter named '{}'{}", name, nearest_filter(name));
  }
  return found(*this, input, arguments);
}

Result<bool> Interpreter::test(std::string_view name, const Value& input,
                               const Arguments& arguments) {
  const NativeTest found = find_test(name);
  if (found == nullptr) {
    return make_error(Errc::invalid_argument, "no test named '{}'{}", name, nearest_test(name));
  }
  return found(*this, input, arguments);
}

Result<Value> Interpreter::evaluate_unary(const Unary& expr, Scope& scope) {
  const Value operand = GLM_TRY(evaluate(*expr.operand, scope));
  switch (expr.op) {
    case UnaryOp::negate:
      return negate(operand);
    case UnaryOp::plus:
      return plus(operand);
    case UnaryOp::invert:
      return Value::boolean(!truthy(operand));
  }
  return Value::none();
}

Result<Value> Interpreter::evaluate_binary(const Binary& expr, Scope& scope) {
  const Value left = GLM_TRY(evaluate(*expr.left, scope));
  const Value right = GLM_TRY(evaluate(*expr.right, scope));
  return binary(room_, expr.op, left, right);
}

Result<Value> Interpreter::evaluate_logic(const Logic& expr, Scope& scope) {
  Value left = GLM_TRY(evaluate(*expr.left, scope));
  if (truthy(left) == (expr.op == LogicOp::disjunction)) return left;
  return evaluate(*expr.right, scope);
}

namespace {

Result<bool> compare(Room& room, CompareOp op, const Value& left, const Value& right) {
  switch (op) {
    case CompareOp::equal:
      return equal(left, right);
    case CompareOp::unequal:
      return !equal(left, right);
    case CompareOp::in:
      return contains(room, right, left);
    case CompareOp::not_in:
      return !GLM_TRY(contains(room, right, left));
    case CompareOp::less:
      return GLM_TRY(order("<", left, right)) == std::partial_ordering::less;
    case CompareOp::greater:
      return GLM_TRY(order(">", left, right)) == std::partial_ordering::greater;
    case CompareOp::less_equal:
      return std::is_lteq(GLM_TRY(order("<=", left, right)));
    case CompareOp::greater_equal:
      return std::is_gteq(GLM_TRY(order(">=", left, right)));
  }
  return false;
}

}  // namespace

Result<Value> Interpreter::evaluate_compare(const Compare& expr, Scope& scope) {
  Value left = GLM_TRY(evaluate(*expr.first, scope));
  for (const auto& [op, operand] : expr.rest) {
    Value right = GLM_TRY(evaluate(*operand, scope));
    if (!GLM_TRY(compare(room_, op, left, right))) return Value::boolean(false);
    left = std::move(right);
  }
  return Value::boolean(true);
}

Result<Value> Interpreter::evaluate_concat(const Sequence& expr, Scope& scope) {
  std::string out;
  for (const ExprPtr& item : expr.items) {
    const Value value = GLM_TRY(evaluate(*item, scope));
    const std::string text = GLM_TRY(to_text(value));
    GLM_TRY(append(out, text));
  }
  return Value::text(std::move(out));
}

Result<Value> Interpreter::evaluate_conditional(const Conditional& expr, Scope& scope) {
  if (truthy(GLM_TRY(evaluate(*expr.test, scope)))) return evaluate(*expr.then, scope);
  if (expr.otherwise) return evaluate(*expr.otherwise, scope);
  return Value::undefined("the inline if-expression was false and has no else");
}

Result<Value> Interpreter::evaluate_sequence(const Sequence& expr, Scope& scope) {
  std::vector<Value> items;
  GLM_TRY(meter_.items(expr.items.size()));
  for (const ExprPtr& item : expr.items) items.push_back(GLM_TRY(evaluate(*item, scope)));
  return expr.kind == Expr::Kind::list ? heap_.list(std::move(items))
                                       : heap_.tuple(std::move(items));
}

Result<Value> Interpreter::evaluate_dict(const Sequence& expr, Scope& scope) {
  Dict* dict = heap_.make<Dict>();
  GLM_TRY(meter_.items(expr.items.size()));
  for (std::size_t i = 0; i + 1 < expr.items.size(); i += 2) {
    Value key = GLM_TRY(evaluate(*expr.items[i], scope));
    if (!hashable(key)) {
      return make_error(Errc::invalid_argument, "unhashable type: '{}'", type_name(key));
    }
    dict->set(std::move(key), GLM_TRY(evaluate(*expr.items[i + 1], scope)));
  }
  return Value::dict(dict);
}

}  // namespace glm::runner::jinja
