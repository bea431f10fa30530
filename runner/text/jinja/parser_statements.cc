#include <algorithm>
#include <utility>

#include "runner/text/jinja/parser.h"

namespace glm::runner::jinja {
namespace {

constexpr std::string_view kFileTags[] = {"extends", "from", "import", "include"};

}  // namespace

// Until one of the end tags, which is left current; without end tags, until the template ends.
Result<Body> Parser::statements(const std::vector<std::string_view>& ends) {
  const Level level(depth_);
  GLM_TRY(check_depth());
  Body body;
  while (current().kind != Token::Kind::end) {
    const Token token = take();
    links_ = 0;
    if (token.kind == Token::Kind::data) {
      body.push_back(std::make_unique<Output>(token.at, token.text));
    } else if (token.kind == Token::Kind::variable_begin) {
      body.push_back(std::make_unique<Output>(token.at, GLM_TRY(tuple(Conditionals::yes, {}))));
      GLM_TRY(expect(Token::Kind::variable_end, "end of print statement"));
    } else {
      const bool ended = std::any_of(ends.begin(), ends.end(),
                                     [&](std::string_view end) { return current().is_name(end); });
      if (ended) return body;
      body.push_back(GLM_TRY(statement()));
      GLM_TRY(expect(Token::Kind::block_end, "end of statement block"));
    }
  }
  if (ends.empty()) return body;
  return fail(current().at, fmt::format("unexpected end of template, '{}' is not closed by '{}'",
                                        open_tags_.back(), fmt::join(ends, "' or '")));
}

// The rest of an opening tag, then a body. The end tag is left current.
Result<Body> Parser::body_until(const std::vector<std::string_view>& ends) {
  skip_symbol(":");
  GLM_TRY(expect(Token::Kind::block_end, "end of statement block"));
  return statements(ends);
}

Result<StmtPtr> Parser::statement() {
  if (current().kind != Token::Kind::name) return fail(current().at, "tag name expected");
  const Token tag = take();
  open_tags_.push_back(tag.text);
  const auto parse = [&]() -> ParsedStmt {
    if (tag.text == "if") return parse_if(tag.at);
    if (tag.text == "for") return parse_for(tag.at);
    if (tag.text == "set") return parse_set(tag.at);
    if (tag.text == "macro") return parse_macro(tag.at);
    if (tag.text == "call") return parse_call(tag.at);
    if (tag.text == "filter") return parse_filter(tag.at);
    if (tag.text == "with") return parse_with(tag.at);
    if (tag.text == "generation") return parse_scope(tag.at, "endgeneration");
    if (tag.text == "autoescape") return parse_autoescape(tag.at);
    if (tag.text == "block") return parse_block(tag.at);
    if (tag.text == "print") return parse_print(tag.at);
    if (tag.text == "break") return parse_loop_control(tag.at, Stmt::Kind::break_);
    if (tag.text == "continue") return parse_loop_control(tag.at, Stmt::Kind::continue_);
    return unknown_tag(tag);
  };
  StmtPtr parsed = GLM_TRY(parse());
  open_tags_.pop_back();
  return parsed;
}

Error Parser::unknown_tag(const Token& tag) const {
  if (std::find(std::begin(kFileTags), std::end(kFileTags), tag.text) != std::end(kFileTags)) {
    return make_error(Errc::unsupported,
                      "{}: '{}' needs other template files, which a chat "
                      "template does not have",
                      tag.at.str(), tag.text);
  }
  if (open_tags_.size() < 2) return fail(tag.at, fmt::format("unknown tag '{}'", tag.text));
  return fail(tag.at, fmt::format("unknown tag '{}' inside '{}'", tag.text,
                                  open_tags_[open_tags_.size() - 2]));
}

Result<StmtPtr> Parser::parse_if(Position at) {
  auto out = std::make_unique<If>(at);
  while (true) {
    ExprPtr test = GLM_TRY(tuple(Conditionals::no, {}));
    Body body = GLM_TRY(body_until({"elif", "else", "endif"}));
    out->branches.push_back({std::move(test), std::move(body)});
    const Token tag = take();
    if (tag.text == "endif") break;
    if (tag.text == "else") {
      out->branches.push_back({nullptr, GLM_TRY(body_until({"endif"}))});
      take();
      break;
    }
  }
  return out;
}

Result<StmtPtr> Parser::parse_for(Position at) {
  auto out = std::make_unique<For>(at);
  out->target = GLM_TRY(target("in"));
  if (!skip_name("in"))
    return fail(current().at, fmt::format("expected 'in', got {}", current().describe()));
  out->iterable = GLM_TRY(tuple(Conditionals::no, "recursive"));
  if (skip_name("if")) out->filter = GLM_TRY(expression());
  out->recursive = skip_name("recursive");
  ++loops_;
  out->body = GLM_TRY(body_until({"endfor", "else"}));
  --loops_;
  if (take().text == "else") {
    out->otherwise = GLM_TRY(body_until({"endfor"}));
    take();
  }
  return out;
}

Result<StmtPtr> Parser::parse_set(Position at) {
  Target to = GLM_TRY(target("="));
  if (skip_symbol("=")) {
    auto out = std::make_unique<Set>(at);
    out->target = std::move(to);
    out->value = GLM_TRY(tuple(Conditionals::yes, {}));
    return out;
  }
  auto out = std::make_unique<SetBlock>(at);
  out->target = std::move(to);
  if (current().is_symbol("|")) out->filter = GLM_TRY(filters(nullptr));
  out->body = GLM_TRY(body_until({"endset"}));
  take();
  return out;
}

Result<Signature> Parser::signature() {
  Signature out;
  GLM_TRY(expect_symbol("("));
  while (!current().is_symbol(")")) {
    if (!out.names.empty()) GLM_TRY(expect_symbol(","));
    if (current().is_symbol(")")) break;
    const Position at = current().at;
    out.names.push_back(GLM_TRY(expect_name()));
    if (skip_symbol("=")) {
      out.defaults.push_back(GLM_TRY(expression()));
    } else if (!out.defaults.empty()) {
      return fail(at, "non-default argument follows default argument");
    }
  }
  GLM_TRY(expect_symbol(")"));
  return out;
}

// A body that is called: the loops around it are not its own, and what it mentions of the special
// variables decides what it can be called with.
Result<Body> Parser::macro_body(Signature& signature, std::string_view end) {
  const std::size_t first = at_;
  const int loops = std::exchange(loops_, 0);
  Body body = GLM_TRY(body_until({end}));
  loops_ = loops;
  const auto mentions = [&](std::string_view name) {
    const auto parameter = std::find(signature.names.begin(), signature.names.end(), name);
    return parameter == signature.names.end() &&
           std::any_of(tokens_.begin() + static_cast<std::ptrdiff_t>(first),
                       tokens_.begin() + static_cast<std::ptrdiff_t>(at_),
                       [&](const Token& token) { return token.is_name(name); });
  };
  signature.takes_varargs = mentions("varargs");
  signature.takes_kwargs = mentions("kwargs");
  signature.takes_caller = mentions("caller");
  return body;
}

Result<StmtPtr> Parser::parse_macro(Position at) {
  auto out = std::make_unique<MacroStmt>(at);
  out->name = GLM_TRY(expect_name());
  out->signature = GLM_TRY(signature());
  out->body = GLM_TRY(macro_body(out->signature, "endmacro"));
  take();
  skip_name(out->name);
  return out;
}

Result<StmtPtr> Parser::parse_call(Position at) {
  auto out = std::make_unique<CallBlock>(at);
  if (current().is_symbol("(")) out->signature = GLM_TRY(signature());
  const Position call_at = current().at;
  out->call = GLM_TRY(expression());
  if (out->call->kind != Expr::Kind::call) return fail(call_at, "expected a call");
  out->body = GLM_TRY(macro_body(out->signature, "endcall"));
  take();
  return out;
}

Result<StmtPtr> Parser::parse_filter(Position at) {
  auto out = std::make_unique<FilterBlock>(at);
  ExprPtr first = GLM_TRY(one_filter(nullptr));
  out->filter = GLM_TRY(filters(std::move(first)));
  const int loops = std::exchange(loops_, 0);
  out->body = GLM_TRY(body_until({"endfilter"}));
  loops_ = loops;
  take();
  return out;
}

Result<StmtPtr> Parser::parse_with(Position at) {
  auto out = std::make_unique<With>(at);
  while (current().kind != Token::Kind::block_end && !current().is_symbol(":")) {
    if (!out->values.empty()) GLM_TRY(expect_symbol(","));
    Target to = GLM_TRY(target_item());
    GLM_TRY(expect_symbol("="));
    out->values.emplace_back(std::move(to), GLM_TRY(expression()));
  }
  out->body = GLM_TRY(body_until({"endwith"}));
  take();
  return out;
}

Result<StmtPtr> Parser::parse_scope(Position at, std::string_view end) {
  auto out = std::make_unique<ScopeStmt>(at);
  out->body = GLM_TRY(body_until({end}));
  take();
  return out;
}

Result<StmtPtr> Parser::parse_autoescape(Position at) {
  const ExprPtr mode = GLM_TRY(expression());
  const auto* literal = dynamic_cast<const Literal*>(mode.get());
  if (literal == nullptr || truthy(literal->value)) {
    return make_error(Errc::unsupported, "{}: autoescape other than false is not supported",
                      at.str());
  }
  return parse_scope(at, "endautoescape");
}

// Nothing can extend a chat template, so a block is just its body.
Result<StmtPtr> Parser::parse_block(Position at) {
  const std::string name = GLM_TRY(expect_name());
  skip_name("scoped");
  skip_name("required");
  StmtPtr out = GLM_TRY(parse_scope(at, "endblock"));
  skip_name(name);
  return out;
}

Result<StmtPtr> Parser::parse_print(Position at) {
  auto out = std::make_unique<ScopeStmt>(at);
  while (current().kind != Token::Kind::block_end) {
    if (!out->body.empty()) GLM_TRY(expect_symbol(","));
    const Position value_at = current().at;
    out->body.push_back(std::make_unique<Output>(value_at, GLM_TRY(expression())));
  }
  return out;
}

Result<StmtPtr> Parser::parse_loop_control(Position at, Stmt::Kind kind) {
  if (loops_ == 0) return fail(at, fmt::format("'{}' outside of a loop", open_tags_.back()));
  return std::make_unique<LoopControl>(kind, at);
}

// a, or a, b, or (a, b), or space.attribute; `end` is what follows.
Result<Target> Parser::target(std::string_view end) {
  Target first = GLM_TRY(target_item());
  if (!current().is_symbol(",")) return first;
  Target out;
  out.kind = Target::Kind::tuple;
  out.at = first.at;
  out.items.push_back(std::move(first));
  while (skip_symbol(",")) {
    if (current().is_name(end) || current().is_symbol(end) || current().is_symbol(")")) break;
    out.items.push_back(GLM_TRY(target_item()));
  }
  return out;
}

Result<Target> Parser::target_item() {
  const Level level(depth_);
  GLM_TRY(check_depth());
  if (skip_symbol("(")) {
    Target inner = GLM_TRY(target(")"));
    GLM_TRY(expect_symbol(")"));
    return inner;
  }
  Target out;
  out.at = current().at;
  out.name = GLM_TRY(expect_name());
  static constexpr std::string_view kConstants[] = {"true", "false", "none",
                                                    "True", "False", "None"};
  if (std::find(std::begin(kConstants), std::end(kConstants), out.name) != std::end(kConstants)) {
    return fail(out.at, fmt::format("can't assign to '{}'", out.name));
  }
  if (skip_symbol(".")) {
    out.kind = Target::Kind::attribute;
    out.attribute = GLM_TRY(expect_name());
  }
  return out;
}

}  // namespace glm::runner::jinja
