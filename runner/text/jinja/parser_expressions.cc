#include <algorithm>
#include <utility>

#include "runner/text/jinja/parser.h"

namespace glm::runner::jinja {

bool Parser::at_tuple_end(std::string_view end) const {
  const Token& token = current();
  return token.kind == Token::Kind::variable_end || token.kind == Token::Kind::block_end ||
         token.is_symbol(")") || (!end.empty() && token.is_name(end));
}

// One expression, or several with commas; `end` is a name that ends them.
Result<ExprPtr> Parser::tuple(Conditionals conditionals, std::string_view end) {
  const Position at = current().at;
  if (at_tuple_end(end)) {
    return fail(at, fmt::format("expected an expression, got {}", current().describe()));
  }
  ExprPtr first = GLM_TRY(expression(conditionals));
  if (!current().is_symbol(",")) return first;
  auto out = std::make_unique<Sequence>(Expr::Kind::tuple, at);
  out->items.push_back(std::move(first));
  while (skip_symbol(",")) {
    if (at_tuple_end(end)) break;
    out->items.push_back(GLM_TRY(expression(conditionals)));
  }
  return out;
}

Result<ExprPtr> Parser::expression(Conditionals conditionals) {
  const Level level(depth_);
  GLM_TRY(check_depth());
  return conditionals == Conditionals::yes ? conditional() : disjunction();
}

Result<ExprPtr> Parser::conditional() {
  const Position at = current().at;
  ExprPtr expr = GLM_TRY(disjunction());
  while (skip_name("if")) {
    auto out = std::make_unique<Conditional>(at);
    out->then = std::move(expr);
    out->test = GLM_TRY(disjunction());
    if (skip_name("else")) out->otherwise = GLM_TRY(expression());
    expr = std::move(out);
  }
  return expr;
}

Result<ExprPtr> Parser::disjunction() {
  ExprPtr left = GLM_TRY(conjunction());
  while (current().is_name("or")) {
    GLM_TRY(check_link());
    const Position at = take().at;
    ExprPtr right = GLM_TRY(conjunction());
    left = std::make_unique<Logic>(at, LogicOp::disjunction, std::move(left), std::move(right));
  }
  return left;
}

Result<ExprPtr> Parser::conjunction() {
  ExprPtr left = GLM_TRY(negation());
  while (current().is_name("and")) {
    GLM_TRY(check_link());
    const Position at = take().at;
    ExprPtr right = GLM_TRY(negation());
    left = std::make_unique<Logic>(at, LogicOp::conjunction, std::move(left), std::move(right));
  }
  return left;
}

Result<ExprPtr> Parser::negation() {
  if (!current().is_name("not")) return comparison();
  const Level level(depth_);
  GLM_TRY(check_depth());
  const Position at = take().at;
  return std::make_unique<Unary>(at, UnaryOp::invert, GLM_TRY(negation()));
}

namespace {

struct CompareSymbol {
  std::string_view symbol;
  CompareOp op;
};
constexpr CompareSymbol kCompareSymbols[] = {
    {"==", CompareOp::equal},      {"!=", CompareOp::unequal}, {"<", CompareOp::less},
    {"<=", CompareOp::less_equal}, {">", CompareOp::greater},  {">=", CompareOp::greater_equal},
};

struct BinarySymbol {
  std::string_view symbol;
  BinaryOp op;
};
constexpr BinarySymbol kSums[] = {{"+", BinaryOp::add}, {"-", BinaryOp::subtract}};
constexpr BinarySymbol kProducts[] = {{"*", BinaryOp::multiply},
                                      {"/", BinaryOp::divide},
                                      {"//", BinaryOp::floor_divide},
                                      {"%", BinaryOp::modulo}};
constexpr BinarySymbol kPowers[] = {{"**", BinaryOp::power}};

template <typename Row, std::size_t size>
const Row* find_symbol(const Row (&rows)[size], const Token& token) {
  const Row* found =
      std::find_if(rows, rows + size, [&](const Row& row) { return token.is_symbol(row.symbol); });
  return found == rows + size ? nullptr : found;
}

}  // namespace

Result<ExprPtr> Parser::comparison() {
  ExprPtr first = GLM_TRY(sum());
  std::unique_ptr<Compare> out;
  while (true) {
    CompareOp op;
    const Position at = current().at;
    if (const auto* row = find_symbol(kCompareSymbols, current())) {
      op = row->op;
      take();
    } else if (skip_name("in")) {
      op = CompareOp::in;
    } else if (current().is_name("not") && ahead().is_name("in")) {
      take();
      take();
      op = CompareOp::not_in;
    } else {
      break;
    }
    if (!out) out = std::make_unique<Compare>(at, std::move(first));
    out->rest.emplace_back(op, GLM_TRY(sum()));
  }
  if (out) return out;
  return first;
}

Result<ExprPtr> Parser::sum() {
  ExprPtr left = GLM_TRY(concatenation());
  while (const auto* row = find_symbol(kSums, current())) {
    GLM_TRY(check_link());
    const Position at = take().at;
    ExprPtr right = GLM_TRY(concatenation());
    left = std::make_unique<Binary>(at, row->op, std::move(left), std::move(right));
  }
  return left;
}

Result<ExprPtr> Parser::concatenation() {
  const Position at = current().at;
  ExprPtr first = GLM_TRY(product());
  if (!current().is_symbol("~")) return first;
  auto out = std::make_unique<Sequence>(Expr::Kind::concat, at);
  out->items.push_back(std::move(first));
  while (skip_symbol("~")) out->items.push_back(GLM_TRY(product()));
  return out;
}

Result<ExprPtr> Parser::product() {
  ExprPtr left = GLM_TRY(power());
  while (const auto* row = find_symbol(kProducts, current())) {
    GLM_TRY(check_link());
    const Position at = take().at;
    ExprPtr right = GLM_TRY(power());
    left = std::make_unique<Binary>(at, row->op, std::move(left), std::move(right));
  }
  return left;
}

Result<ExprPtr> Parser::power() {  // to the left, unlike Python's
  ExprPtr left = GLM_TRY(unary(Filters::yes));
  while (const auto* row = find_symbol(kPowers, current())) {
    GLM_TRY(check_link());
    const Position at = take().at;
    ExprPtr right = GLM_TRY(unary(Filters::yes));
    left = std::make_unique<Binary>(at, row->op, std::move(left), std::move(right));
  }
  return left;
}

Result<ExprPtr> Parser::unary(Filters with_filters) {
  const Level level(depth_);
  GLM_TRY(check_depth());
  ExprPtr expr;
  if (current().is_symbol("-") || current().is_symbol("+")) {
    const Token sign = take();
    const UnaryOp op = sign.text == "-" ? UnaryOp::negate : UnaryOp::plus;
    expr = std::make_unique<Unary>(sign.at, op, GLM_TRY(unary(Filters::no)));
  } else {
    expr = GLM_TRY(primary());
  }
  expr = GLM_TRY(postfix(std::move(expr)));
  if (with_filters == Filters::no) return expr;
  return filters_and_tests(std::move(expr));
}

Result<ExprPtr> Parser::primary() {
  const Token& token = current();
  switch (token.kind) {
    case Token::Kind::name: {
      const Token name = take();
      if (name.text == "true" || name.text == "True") {
        return std::make_unique<Literal>(name.at, Value::boolean(true));
      }
      if (name.text == "false" || name.text == "False") {
        return std::make_unique<Literal>(name.at, Value::boolean(false));
      }
      if (name.text == "none" || name.text == "None") {
        return std::make_unique<Literal>(name.at, Value::none());
      }
      return std::make_unique<Name>(name.at, name.text);
    }
    case Token::Kind::text: {
      const Position at = token.at;
      std::string text;
      while (current().kind == Token::Kind::text) text += take().text;
      return std::make_unique<Literal>(at, Value::text(std::move(text)));
    }
    case Token::Kind::integer: {
      const Token number = take();
      return std::make_unique<Literal>(number.at, Value::integer(number.integer));
    }
    case Token::Kind::real: {
      const Token number = take();
      return std::make_unique<Literal>(number.at, Value::real(number.real));
    }
    default:
      if (token.is_symbol("(")) return parenthesised();
      if (token.is_symbol("[")) return list();
      if (token.is_symbol("{")) return dict();
      return unexpected();
  }
}

Result<ExprPtr> Parser::parenthesised() {
  const Position at = take().at;
  if (skip_symbol(")")) return std::make_unique<Sequence>(Expr::Kind::tuple, at);
  ExprPtr inner = GLM_TRY(tuple(Conditionals::yes, {}));
  GLM_TRY(expect_symbol(")"));
  return inner;
}

Result<ExprPtr> Parser::list() {
  auto out = std::make_unique<Sequence>(Expr::Kind::list, take().at);
  while (!current().is_symbol("]")) {
    if (!out->items.empty()) GLM_TRY(expect_symbol(","));
    if (current().is_symbol("]")) break;
    out->items.push_back(GLM_TRY(expression()));
  }
  GLM_TRY(expect_symbol("]"));
  return out;
}

Result<ExprPtr> Parser::dict() {
  auto out = std::make_unique<Sequence>(Expr::Kind::dict, take().at);
  while (!current().is_symbol("}")) {
    if (!out->items.empty()) GLM_TRY(expect_symbol(","));
    if (current().is_symbol("}")) break;
    out->items.push_back(GLM_TRY(expression()));
    GLM_TRY(expect_symbol(":"));
    out->items.push_back(GLM_TRY(expression()));
  }
  GLM_TRY(expect_symbol("}"));
  return out;
}

Result<ExprPtr> Parser::postfix(ExprPtr expr) {
  while (true) {
    GLM_TRY(check_link());
    if (current().is_symbol(".")) {
      expr = GLM_TRY(dotted(std::move(expr)));
    } else if (current().is_symbol("[")) {
      expr = GLM_TRY(bracketed(std::move(expr)));
    } else if (current().is_symbol("(")) {
      auto call = std::make_unique<Call>(current().at, std::move(expr));
      call->arguments = GLM_TRY(call_arguments());
      expr = std::move(call);
    } else {
      return expr;
    }
  }
}

Result<ExprPtr> Parser::dotted(ExprPtr expr) {
  const Position at = take().at;
  if (current().kind == Token::Kind::name) {
    return std::make_unique<Attribute>(at, std::move(expr), take().text);
  }
  if (current().kind != Token::Kind::integer) {
    return fail(current().at,
                fmt::format("expected a name or number, got {}", current().describe()));
  }
  const Token number = take();
  auto key = std::make_unique<Literal>(number.at, Value::integer(number.integer));
  return std::make_unique<Subscript>(at, std::move(expr), std::move(key));
}

Result<ExprPtr> Parser::bracketed(ExprPtr expr) {
  const Position at = take().at;
  const auto ends = [&] { return current().is_symbol("]") || current().is_symbol(","); };
  ExprPtr first;
  if (skip_symbol("]")) {  // nothing is the empty tuple, as odd as it is
    first = std::make_unique<Sequence>(Expr::Kind::tuple, at);
    return std::make_unique<Subscript>(at, std::move(expr), std::move(first));
  }
  if (!current().is_symbol(":")) {
    first = GLM_TRY(tuple(Conditionals::yes, {}));
    if (!current().is_symbol(":")) {
      GLM_TRY(expect_symbol("]"));
      return std::make_unique<Subscript>(at, std::move(expr), std::move(first));
    }
  }
  auto out = std::make_unique<SliceExpr>(at, std::move(expr));
  out->first = std::move(first);
  GLM_TRY(expect_symbol(":"));
  if (!current().is_symbol(":") && !ends()) out->end = GLM_TRY(expression());
  if (skip_symbol(":") && !ends()) out->step = GLM_TRY(expression());
  GLM_TRY(expect_symbol("]"));
  return out;
}

Result<ExprPtr> Parser::filters_and_tests(ExprPtr expr) {
  while (true) {
    GLM_TRY(check_link());
    if (current().is_symbol("|")) {
      expr = GLM_TRY(filters(std::move(expr)));
    } else if (current().is_name("is")) {
      expr = GLM_TRY(test(std::move(expr)));
    } else if (current().is_symbol("(")) {
      auto call = std::make_unique<Call>(current().at, std::move(expr));
      call->arguments = GLM_TRY(call_arguments());
      expr = std::move(call);
    } else {
      return expr;
    }
  }
}

Result<ExprPtr> Parser::filters(ExprPtr input) {
  while (skip_symbol("|")) {
    GLM_TRY(check_link());
    input = GLM_TRY(one_filter(std::move(input)));
  }
  return input;
}

Result<ExprPtr> Parser::one_filter(ExprPtr input) {
  auto out = std::make_unique<Applied>(Expr::Kind::filter, current().at, std::move(input));
  out->name = GLM_TRY(dotted_name());
  if (current().is_symbol("(")) out->arguments = GLM_TRY(call_arguments());
  return out;
}

Result<ExprPtr> Parser::test(ExprPtr input) {
  take();
  const Position at = current().at;
  const bool negated = skip_name("not");
  auto out = std::make_unique<Applied>(Expr::Kind::test, current().at, std::move(input));
  out->name = GLM_TRY(dotted_name());
  const Token& next = current();
  const bool operand = next.kind == Token::Kind::name || next.kind == Token::Kind::text ||
                       next.kind == Token::Kind::integer || next.kind == Token::Kind::real ||
                       next.is_symbol("[") || next.is_symbol("{");
  const bool keyword = next.is_name("else") || next.is_name("or") || next.is_name("and");
  if (next.is_symbol("(")) {
    out->arguments = GLM_TRY(call_arguments());
  } else if (operand && !keyword) {
    if (next.is_name("is")) return fail(next.at, "tests with 'is' cannot be chained");
    ExprPtr argument = GLM_TRY(primary());
    out->arguments.positional.push_back(GLM_TRY(postfix(std::move(argument))));
  }
  if (!negated) return out;
  return std::make_unique<Unary>(at, UnaryOp::invert, std::move(out));
}

Result<std::string> Parser::dotted_name() {
  std::string name = GLM_TRY(expect_name());
  while (skip_symbol(".")) name.append(".").append(GLM_TRY(expect_name()));
  return name;
}

Result<CallArguments> Parser::call_arguments() {
  const Position at = current().at;
  GLM_TRY(expect_symbol("("));
  const auto wrong_order = [&] { return fail(at, "arguments are in the wrong order"); };
  CallArguments out;
  bool more = false;
  while (!current().is_symbol(")")) {
    if (more) {
      GLM_TRY(expect_symbol(","));
      if (current().is_symbol(")")) break;
    }
    more = true;
    if (skip_symbol("*")) {
      if (out.star || out.double_star) return wrong_order();
      out.star = GLM_TRY(expression());
    } else if (skip_symbol("**")) {
      if (out.double_star) return wrong_order();
      out.double_star = GLM_TRY(expression());
    } else if (current().kind == Token::Kind::name && ahead().is_symbol("=")) {
      if (out.double_star) return wrong_order();
      std::string name = take().text;
      take();
      out.named.emplace_back(std::move(name), GLM_TRY(expression()));
    } else {
      if (out.star || out.double_star || !out.named.empty()) return wrong_order();
      out.positional.push_back(GLM_TRY(expression()));
    }
  }
  GLM_TRY(expect_symbol(")"));
  return out;
}

}  // namespace glm::runner::jinja
