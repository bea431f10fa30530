// A parsed template.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "runner/text/jinja/operators.h"
#include "runner/text/jinja/position.h"
#include "runner/text/jinja/value.h"

namespace glm::runner::jinja {

struct Expr {
  enum class Kind {
    literal,
    name,
    attribute,
    subscript,
    slice,
    call,
    filter,
    test,
    unary,
    binary,
    logic,
    compare,
    concat,
    conditional,
    list,
    tuple,
    dict,
  };
  Expr(Kind expr_kind, Position position) : kind(expr_kind), at(position) {}
  virtual ~Expr() = default;

  Kind kind;
  Position at;
};
using ExprPtr = std::unique_ptr<Expr>;
using Exprs = std::vector<ExprPtr>;

struct Literal final : Expr {
  Literal(Position position, Value constant)
      : Expr(Kind::literal, position), value(std::move(constant)) {}
  Value value;  // none, boolean, integer, real or text
};

struct Name final : Expr {
  Name(Position position, std::string variable)
      : Expr(Kind::name, position), name(std::move(variable)) {}
  std::string name;
};

struct Attribute final : Expr {
  Attribute(Position position, ExprPtr of, std::string attribute)
      : Expr(Kind::attribute, position), object(std::move(of)), name(std::move(attribute)) {}
  ExprPtr object;
  std::string name;
};

struct Subscript final : Expr {
  Subscript(Position position, ExprPtr of, ExprPtr by)
      : Expr(Kind::subscript, position), object(std::move(of)), key(std::move(by)) {}
  ExprPtr object, key;
};

struct SliceExpr final : Expr {
  SliceExpr(Position position, ExprPtr of) : Expr(Kind::slice, position), object(std::move(of)) {}
  ExprPtr object;
  ExprPtr first, end, step;  // null where left out
};

struct CallArguments {
  Exprs positional;
  std::vector<std::pair<std::string, ExprPtr>> named;
  ExprPtr star, double_star;  // *args, **kwargs; null where absent
};

struct Call final : Expr {
  Call(Position position, ExprPtr of) : Expr(Kind::call, position), callee(std::move(of)) {}
  ExprPtr callee;
  CallArguments arguments;
};

// Filters and tests: a name from a table, applied to a value.
struct Applied final : Expr {
  Applied(Kind expr_kind, Position position, ExprPtr to)
      : Expr(expr_kind, position), input(std::move(to)) {}
  ExprPtr input;  // null: the body of a filter block
  std::string name;
  CallArguments arguments;
};

enum class UnaryOp { negate, plus, invert };

struct Unary final : Expr {
  Unary(Position position, UnaryOp operation, ExprPtr of)
      : Expr(Kind::unary, position), op(operation), operand(std::move(of)) {}
  UnaryOp op;
  ExprPtr operand;
};

struct Binary final : Expr {
  Binary(Position position, BinaryOp operation, ExprPtr first, ExprPtr second)
      : Expr(Kind::binary, position),
        op(operation),
        left(std::move(first)),
        right(std::move(second)) {}
  BinaryOp op;
  ExprPtr left, right;
};

enum class LogicOp { conjunction, disjunction };

struct Logic final : Expr {
  Logic(Position position, LogicOp operation, ExprPtr first, ExprPtr second)
      : Expr(Kind::logic, position),
        op(operation),
        left(std::move(first)),
        right(std::move(second)) {}
  LogicOp op;
  ExprPtr left, right;
};

enum class CompareOp { equal, unequal, less, less_equal, greater, greater_equal, in, not_in };

// a < b < c
struct Compare final : Expr {
  Compare(Position position, ExprPtr begin)
      : Expr(Kind::compare, position), first(std::move(begin)) {}
  ExprPtr first;
  std::vector<std::pair<CompareOp, ExprPtr>> rest;
};

struct Conditional final : Expr {
  explicit Conditional(Position position) : Expr(Kind::conditional, position) {}
  ExprPtr test, then, otherwise;  // otherwise may be null: undefined
};

// list, tuple, concat (a ~ b); dict has its keys and values by turns
struct Sequence final : Expr {
  Sequence(Kind expr_kind, Position position) : Expr(expr_kind, position) {}
  Exprs items;
};

struct Stmt {
  enum class Kind {
    output,
    if_,
    for_,
    set,
    set_block,
    macro,
    call_block,
    filter_block,
    with,
    scope,
    break_,
    continue_,
  };
  Stmt(Kind stmt_kind, Position position) : kind(stmt_kind), at(position) {}
  virtual ~Stmt() = default;

  Kind kind;
  Position at;
};
using StmtPtr = std::unique_ptr<Stmt>;
using Body = std::vector<StmtPtr>;

// Text as it stands, or the value of an expression.
struct Output final : Stmt {
  Output(Position position, std::string data)
      : Stmt(Kind::output, position), text(std::move(data)) {}
  Output(Position position, ExprPtr expression)
      : Stmt(Kind::output, position), value(std::move(expression)) {}
  std::string text;
  ExprPtr value;  // null: text
};

struct If final : Stmt {
  explicit If(Position position) : Stmt(Kind::if_, position) {}
  struct Branch {
    ExprPtr test;  // null: else
    Body body;
  };
  std::vector<Branch> branches;
};

// What is assigned to: a name, a namespace's attribute, or a tuple of such.
struct Target {
  enum class Kind { name, attribute, tuple };
  Kind kind = Kind::name;
  Position at;
  std::string name;
  std::string attribute;
  std::vector<Target> items;
};

struct For final : Stmt {
  explicit For(Position position) : Stmt(Kind::for_, position) {}
  Target target;
  ExprPtr iterable, filter;  // filter may be null
  bool recursive = false;
  Body body, otherwise;
};

struct Set final : Stmt {
  explicit Set(Position position) : Stmt(Kind::set, position) {}
  Target target;
  ExprPtr value;
};

struct SetBlock final : Stmt {
  explicit SetBlock(Position position) : Stmt(Kind::set_block, position) {}
  Target target;
  ExprPtr filter;  // a chain of Applied ending in a null input; null: none
  Body body;
};

struct Signature {
  std::vector<std::string> names;
  Exprs defaults;                                                          // of the last names
  bool takes_varargs = false, takes_kwargs = false, takes_caller = false;  // mentioned in the body
};

struct MacroStmt final : Stmt {
  explicit MacroStmt(Position position) : Stmt(Kind::macro, position) {}
  std::string name;
  Signature signature;
  Body body;
};

struct CallBlock final : Stmt {
  explicit CallBlock(Position position) : Stmt(Kind::call_block, position) {}
  Signature signature;  // of caller()
  ExprPtr call;         // a Call
  Body body;
};

struct FilterBlock final : Stmt {
  explicit FilterBlock(Position position) : Stmt(Kind::filter_block, position) {}
  ExprPtr filter;
  Body body;
};

struct With final : Stmt {
  explicit With(Position position) : Stmt(Kind::with, position) {}
  std::vector<std::pair<Target, ExprPtr>> values;
  Body body;
};

// {% generation %}, {% autoescape %}, {% block %}: a body with variables of its own.
struct ScopeStmt final : Stmt {
  explicit ScopeStmt(Position position) : Stmt(Kind::scope, position) {}
  Body body;
};

struct LoopControl final : Stmt {
  LoopControl(Kind stmt_kind, Position position) : Stmt(stmt_kind, position) {}
};

}  // namespace glm::runner::jinja
