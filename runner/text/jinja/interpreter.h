// Walks a parsed template and writes its output.
//
// Variables live in scopes that point outwards, as in Jinja: loops, macros, calls and blocks of
// text have one each; "if" has none. A macro remembers the scope it was defined in.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "runner/text/jinja/ast.h"
#include "runner/text/jinja/engine.h"

namespace glm::runner::jinja {

struct Scope final : Object {
  explicit Scope(Scope* around) : outer(around) {}
  const Value* find(std::string_view name) const;  // here or further out
  void set(std::string_view name, Value value);    // here

  Scope* outer;
  std::vector<std::pair<std::string_view, Value>> names;  // views of the tree's own text
};

// A macro, or the caller() of a call block.
struct Macro final : Object {
  std::string name;
  const Signature* signature = nullptr;
  const Body* body = nullptr;
  Scope* scope = nullptr;
};

// The `loop` of a for statement.
struct Loop final : Object {
  const For* statement = nullptr;
  Scope* scope = nullptr;  // around the statement
  const std::vector<Value>* items = nullptr;
  std::size_t index = 0;
  int depth = 1;
  bool running = true;
  std::optional<std::vector<Value>> changed;
};

class Interpreter final : public Engine {
 public:
  Interpreter(const Clock& clock, std::int64_t steps_max) : clock_(clock), meter_(steps_max) {}

  Result<std::string> render(const Body& body, const Value& context);

  Room& room() override { return room_; }
  const Clock& clock() const override { return clock_; }
  Error raise(std::string message) override;
  Result<Value> call(const Value& callee, const Arguments& arguments) override;
  Result<Value> filter(std::string_view name, const Value& input,
                       const Arguments& arguments) override;
  Result<bool> test(std::string_view name, const Value& input, const Arguments& arguments) override;

 private:
  enum class Flow { next, break_, continue_ };

  // Deeper by one while it lives.
  class Level {
   public:
    explicit Level(Interpreter& interpreter) : depth_(interpreter.depth_) { ++depth_; }
    ~Level() { --depth_; }

   private:
    int& depth_;
  };
  Status enter(Position at);
  Error located(Error error, Position at);
  Scope* new_scope(Scope* around);

  // interpreter.cc: statements
  Result<Flow> run(const Body& body, Scope& scope, std::string& out);
  Result<Flow> run_one(const Stmt& stmt, Scope& scope, std::string& out);
  Result<Flow> dispatch(const Stmt& stmt, Scope& scope, std::string& out);
  Status write(const Output& stmt, Scope& scope, std::string& out);
  Result<Flow> run_if(const If& stmt, Scope& scope, std::string& out);
  Result<Flow> run_for(const For& stmt, Scope& scope, std::string& out);
  Status loop_over(const For& stmt, Scope& scope, const Value& iterable, int depth,
                   std::string& out);
  Result<std::vector<Value>> loop_items(const For& stmt, Scope& scope, const Value& iterable);
  Status run_set_block(const SetBlock& stmt, Scope& scope);
  Status run_call_block(const CallBlock& stmt, Scope& scope, std::string& out);
  Status run_filter_block(const FilterBlock& stmt, Scope& scope, std::string& out);
  Result<Flow> run_with(const With& stmt, Scope& scope, std::string& out);
  Status assign(const Target& target, Scope& scope, const Value& value);
  Result<Value> captured(const Body& body, Scope& scope);
  Status append(std::string& out, std::string_view text);
  Status append_text(std::string& out, const Value& value);

  // evaluate.cc: expressions
  Result<Value> evaluate(const Expr& expr, Scope& scope);
  Result<Value> evaluate_kind(const Expr& expr, Scope& scope);
  Result<Value> lookup(const Name& expr, Scope& scope);
  Result<Value> evaluate_attribute(const Attribute& expr, Scope& scope);
  Result<Value> evaluate_subscript(const Subscript& expr, Scope& scope);
  Result<Value> evaluate_slice(const SliceExpr& expr, Scope& scope);
  Result<Value> evaluate_call(const Call& expr, Scope& scope, const Value* caller = nullptr);
  Result<Value> evaluate_filter(const Applied& expr, Scope& scope, const Value* block = nullptr);
  Result<Value> evaluate_test(const Applied& expr, Scope& scope);
  Result<Value> evaluate_unary(const Unary& expr, Scope& scope);
  Result<Value> evaluate_binary(const Binary& expr, Scope& scope);
  Result<Value> evaluate_logic(const Logic& expr, Scope& scope);
  Result<Value> evaluate_compare(const Compare& expr, Scope& scope);
  Result<Value> evaluate_concat(const Sequence& expr, Scope& scope);
  Result<Value> evaluate_conditional(const Conditional& expr, Scope& scope);
  Result<Value> evaluate_sequence(const Sequence& expr, Scope& scope);
  Result<Value> evaluate_dict(const Sequence& expr, Scope& scope);
  Result<Value> evaluate_optional(const ExprPtr& expr, Scope& scope);  // null: none
  Result<Arguments> evaluate_arguments(const CallArguments& arguments, Scope& scope);

  // calls.cc: macros and loops as functions
  Result<Value> call_macro(Macro& macro, const Arguments& arguments);
  Status bind_macro(Macro& macro, const Arguments& arguments, Scope& scope);
  Result<Value> call_loop(Loop& loop, const Arguments& arguments);

  const Clock& clock_;
  Heap heap_;
  Meter meter_;
  Room room_{heap_, meter_};
  int depth_ = 0;
  bool located_ = false;  // the error on its way up names its place already
};

}  // namespace glm::runner::jinja
