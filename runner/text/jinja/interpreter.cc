#include "runner/text/jinja/interpreter.h"

#include <algorithm>

#include "runner/text/jinja/python_text.h"

namespace glm::runner::jinja {

const Value* Scope::find(std::string_view name) const {
  for (const Scope* scope = this; scope != nullptr; scope = scope->outer) {
    for (const auto& [known, value] : scope->names) {
      if (known == name) return &value;
    }
  }
  return nullptr;
}

void Scope::set(std::string_view name, Value value) {
  const auto found = std::find_if(names.begin(), names.end(),
                                  [&](const auto& entry) { return entry.first == name; });
  if (found != names.end()) {
    found->second = std::move(value);
  } else {
    names.emplace_back(name, std::move(value));
  }
}

Result<std::string> Interpreter::render(const Body& body, const Value& context) {
  Scope* root = new_scope(nullptr);
  for (const auto& [name, value] : context.dict().entries()) root->set(name.text(), value);
  Scope* top = new_scope(root);
  std::string out;
  GLM_TRY(run(body, *top, out));
  return out;
}

Status Interpreter::enter(Position at) {
  if (depth_ > kDepthMax) {
    return located(make_error(Errc::exhausted, "nested more than {} deep", kDepthMax), at);
  }
  return meter_.spend(1);
}

Scope* Interpreter::new_scope(Scope* around) {
  meter_.charge(20);
  return heap_.make<Scope>(around);
}

Error Interpreter::raise(std::string message) {
  located_ = true;
  return {Errc::invalid_argument, std::move(message)};
}

Error Interpreter::located(Error error, Position at) {
  if (located_) return error;
  located_ = true;
  return std::move(error).with(at.str());
}

Status Interpreter::append(std::string& out, std::string_view text) {
  if (out.size() + text.size() > kTextMaxBytes) return meter_.text(kTextMaxBytes + 1);
  GLM_TRY(meter_.spend(text.size() / 32));
  out += text;
  return Ok{};
}

Result<Interpreter::Flow> Interpreter::run(const Body& body, Scope& scope, std::string& out) {
  for (const StmtPtr& stmt : body) {
    const Flow flow = GLM_TRY(run_one(*stmt, scope, out));
    if (flow != Flow::next) return flow;
  }
  return Flow::next;
}

Result<Interpreter::Flow> Interpreter::run_one(const Stmt& stmt, Scope& scope, std::string& out) {
  const Level level(*this);
  GLM_TRY(enter(stmt.at));
  auto flow = dispatch(stmt, scope, out);
  if (!flow.ok()) return located(std::move(flow).error(), stmt.at);
  return flow;
}

Result<Interpreter::Flow> Interpreter::dispatch(const Stmt& stmt, Scope& scope, std::string& out) {
  switch (stmt.kind) {
    case Stmt::Kind::output:
      GLM_TRY(write(static_cast<const Output&>(stmt), scope, out));
      return Flow::next;
    case Stmt::Kind::if_:
      return run_if(static_cast<const If&>(stmt), scope, out);
    case Stmt::Kind::for_:
      return run_for(static_cast<const For&>(stmt), scope, out);
    case Stmt::Kind::set: {
      const auto& set = static_cast<const Set&>(stmt);
      const Value value = GLM_TRY(evaluate(*set.value, scope));
      GLM_TRY(assign(set.target, scope, value));
      return Flow::next;
    }
    case Stmt::Kind::set_block:
      GLM_TRY(run_set_block(static_cast<const SetBlock&>(stmt), scope));
      return Flow::next;
    case Stmt::Kind::macro: {
      const auto& definition = static_cast<const MacroStmt&>(stmt);
      Macro* macro = heap_.make<Macro>();
      macro->name = definition.name;
      macro->signature = &definition.signature;
      macro->body = &definition.body;
      macro->scope = &scope;
      scope.set(definition.name, Value::object(Kind::macro, macro));
      return Flow::next;
    }
    case Stmt::Kind::call_block:
      GLM_TRY(run_call_block(static_cast<const CallBlock&>(stmt), scope, out));
      return Flow::next;
    case Stmt::Kind::filter_block:
      GLM_TRY(run_filter_block(static_cast<const FilterBlock&>(stmt), scope, out));
      return Flow::next;
    case Stmt::Kind::with:
      return run_with(static_cast<const With&>(stmt), scope, out);
    case Stmt::Kind::scope:
      return run(static_cast<const ScopeStmt&>(stmt).body, *new_scope(&scope), out);
    case Stmt::Kind::break_:
      return Flow::break_;
    case Stmt::Kind::continue_:
      return Flow::continue_;
  }
  return Flow::next;
}

Status Interpreter::write(const Output& stmt, Scope& scope, std::string& out) {
  if (!stmt.value) return append(out, stmt.text);
  const Value value = GLM_TRY(evaluate(*stmt.value, scope));
  if (value.is(Kind::text)) return append(out, value.text());
  const std::string text = GLM_TRY(to_text(value));
  return append(out, text);
}

Result<Interpreter::Flow> Interpreter::run_if(const If& stmt, Scope& scope, std::string& out) {
  for (const If::Branch& branch : stmt.branches) {
    if (branch.test && !truthy(GLM_TRY(evaluate(*branch.test, scope)))) continue;
    return run(branch.body, scope, out);
  }
  return Flow::next;
}

Result<Interpreter::Flow> Interpreter::run_for(const For& stmt, Scope& scope, std::string& out) {
  const Value iterable = GLM_TRY(evaluate(*stmt.iterable, scope));
  GLM_TRY(loop_over(stmt, scope, iterable, 1, out));
  return Flow::next;
}

// What is iterated over, after the loop's own filter.
Result<std::vector<Value>> Interpreter::loop_items(const For& stmt, Scope& scope,
                                                   const Value& iterable) {
  std::vector<Value> items = GLM_TRY(iterate(room_, iterable));
  if (!stmt.filter) return items;
  std::vector<Value> kept;
  for (Value& item : items) {
    Scope* inner = new_scope(&scope);
    GLM_TRY(assign(stmt.target, *inner, item));
    if (truthy(GLM_TRY(evaluate(*stmt.filter, *inner)))) kept.push_back(std::move(item));
  }
  return kept;
}

Status Interpreter::loop_over(const For& stmt, Scope& scope, const Value& iterable, int depth,
                              std::string& out) {
  const std::vector<Value> items = GLM_TRY(loop_items(stmt, scope, iterable));
  Loop* loop = heap_.make<Loop>();
  meter_.charge(20);
  loop->statement = &stmt;
  loop->scope = &scope;
  loop->items = &items;
  loop->depth = depth;
  const Value loop_value = Value::object(Kind::loop, loop);
  Status status = Ok{};
  bool ended = false;  // some round, which is what keeps "else" away: break and continue do not
  for (; loop->index < items.size(); ++loop->index) {
    Scope* inner = new_scope(&scope);
    inner->set("loop", loop_value);
    status = assign(stmt.target, *inner, items[loop->index]);
    if (!status.ok()) break;
    auto flow = run(stmt.body, *inner, out);
    if (!flow.ok()) {
      status = std::move(flow).error();
      break;
    }
    if (*flow == Flow::break_) break;
    ended = ended || *flow == Flow::next;
  }
  loop->running = false;  // its items end here, though a template may keep the object
  loop->items = nullptr;
  if (!status.ok() || ended) return status;
  GLM_TRY(run(stmt.otherwise, *new_scope(&scope), out));
  return Ok{};
}

Result<Value> Interpreter::captured(const Body& body, Scope& scope) {
  std::string text;
  GLM_TRY(run(body, *new_scope(&scope), text));
  return Value::text(std::move(text));
}

Status Interpreter::run_set_block(const SetBlock& stmt, Scope& scope) {
  Value value = GLM_TRY(captured(stmt.body, scope));
  if (stmt.filter) {
    value = GLM_TRY(evaluate_filter(static_cast<const Applied&>(*stmt.filter), scope, &value));
  }
  return assign(stmt.target, scope, value);
}

Status Interpreter::run_call_block(const CallBlock& stmt, Scope& scope, std::string& out) {
  Macro* caller = heap_.make<Macro>();
  caller->name = "caller";
  caller->signature = &stmt.signature;
  caller->body = &stmt.body;
  caller->scope = &scope;
  const Value caller_value = Value::object(Kind::macro, caller);
  const Value value =
      GLM_TRY(evaluate_call(static_cast<const Call&>(*stmt.call), scope, &caller_value));
  return append_text(out, value);
}

Status Interpreter::run_filter_block(const FilterBlock& stmt, Scope& scope, std::string& out) {
  Value value = GLM_TRY(captured(stmt.body, scope));
  value = GLM_TRY(evaluate_filter(static_cast<const Applied&>(*stmt.filter), scope, &value));
  return append_text(out, value);
}

// What a block gives is written as it is, so it has to be text.
Status Interpreter::append_text(std::string& out, const Value& value) {
  if (value.is(Kind::text)) return append(out, value.text());
  return make_error(Errc::invalid_argument, "a block gave {} in place of a text", type_name(value));
}

Result<Interpreter::Flow> Interpreter::run_with(const With& stmt, Scope& scope, std::string& out) {
  Scope* inner = new_scope(&scope);
  for (const auto& [target, expr] : stmt.values) {
    const Value value = GLM_TRY(evaluate(*expr, scope));
    GLM_TRY(assign(target, *inner, value));
  }
  return run(stmt.body, *inner, out);
}

Status Interpreter::assign(const Target& target, Scope& scope, const Value& value) {
  switch (target.kind) {
    case Target::Kind::name:
      scope.set(target.name, value);
      return Ok{};
    case Target::Kind::attribute: {
      const Value* space = scope.find(target.name);
      if (space == nullptr || !space->is(Kind::space)) {
        return located(make_error(Errc::invalid_argument,
                                  "cannot assign attribute '{}' of '{}', which is no namespace",
                                  target.attribute, target.name),
                       target.at);
      }
      space->as<Space>().attributes.set(target.attribute, value);
      return Ok{};
    }
    case Target::Kind::tuple: {
      const std::vector<Value> items = GLM_TRY(iterate(room_, value));
      if (items.size() != target.items.size()) {
        return located(
            make_error(Errc::invalid_argument, "cannot unpack {} values into {} variables",
                       items.size(), target.items.size()),
            target.at);
      }
      for (std::size_t i = 0; i < items.size(); ++i) {
        GLM_TRY(assign(target.items[i], scope, items[i]));
      }
      return Ok{};
    }
  }
  return Ok{};
}

}  // namespace glm::runner::jinja
