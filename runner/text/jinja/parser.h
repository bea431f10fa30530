// Tokens to a tree, after Jinja's own grammar.
#pragma once

#include <algorithm>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "runner/text/jinja/ast.h"
#include "runner/text/jinja/lexer.h"

namespace glm::runner::jinja {

struct Template {
  Body body;
  std::set<std::string, std::less<>> words;  // names, attributes and string literals in it
};

Result<Template> parse_template(std::string source);

class Parser {
 public:
  explicit Parser(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  Result<Template> run();

 private:
  using Parsed = Result<ExprPtr>;
  using ParsedStmt = Result<StmtPtr>;
  enum class Conditionals { yes, no };

  // parser.cc: the stream of tokens
  const Token& current() const { return tokens_[at_]; }
  const Token& ahead() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  Token take();
  bool skip_symbol(std::string_view symbol);
  bool skip_name(std::string_view name);
  Status expect_symbol(std::string_view symbol);
  Status expect(Token::Kind kind, std::string_view what);
  Result<std::string> expect_name();
  Error fail(Position at, std::string_view what) const;
  Error unexpected() const;

  // Counts nesting, so that a tree is never deeper than the evaluator can walk.
  class Level {
   public:
    explicit Level(int& depth) : depth_(depth) { ++depth_; }
    ~Level() { --depth_; }

   private:
    int& depth_;
  };
  Status check_depth() const;
  // a.b.c, a + b + c: trees grow to the left without nesting in the text.
  Status check_link();

  // parser_statements.cc
  Result<Body> statements(const std::vector<std::string_view>& ends);
  Result<Body> body_until(const std::vector<std::string_view>& ends);
  ParsedStmt statement();
  ParsedStmt parse_if(Position at);
  ParsedStmt parse_for(Position at);
  ParsedStmt parse_set(Position at);
  ParsedStmt parse_macro(Position at);
  ParsedStmt parse_call(Position at);
  ParsedStmt parse_filter(Position at);
  ParsedStmt parse_with(Position at);
  ParsedStmt parse_scope(Position at, std::string_view end);
  ParsedStmt parse_autoescape(Position at);
  ParsedStmt parse_block(Position at);
  ParsedStmt parse_print(Position at);
  ParsedStmt parse_loop_control(Position at, Stmt::Kind kind);
  Result<Signature> signature();
  Result<Body> macro_body(Signature& signature, std::string_view end);
  Result<Target> target(std::string_view end);
  Result<Target> target_item();
  Error unknown_tag(const Token& tag) const;

  // parser_expressions.cc
  Parsed tuple(Conditionals conditionals, std::string_view end);
  Parsed expression(Conditionals conditionals = Conditionals::yes);
  Parsed conditional();
  Parsed disjunction();
  Parsed conjunction();
  Parsed negation();
  Parsed comparison();
  Parsed sum();
  Parsed concatenation();
  Parsed product();
  Parsed power();
  enum class Filters { yes, no };
  Parsed unary(Filters filters);
  Parsed primary();
  Parsed parenthesised();
  Parsed list();
  Parsed dict();
  Parsed postfix(ExprPtr expr);
  Parsed dotted(ExprPtr expr);
  Parsed bracketed(ExprPtr expr);
  Parsed filters_and_tests(ExprPtr expr);
  Parsed filters(ExprPtr input);
  Parsed one_filter(ExprPtr input);
  Parsed test(ExprPtr input);
  Result<std::string> dotted_name();
  Result<CallArguments> call_arguments();
  bool at_tuple_end(std::string_view end) const;

  std::vector<Token> tokens_;
  std::size_t at_ = 0;
  int depth_ = 0;
  int links_ = 0;                       // in the current tag
  int loops_ = 0;                       // around the current statement, within its macro
  std::vector<std::string> open_tags_;  // for messages
  std::set<std::string, std::less<>> words_;
};

}  // namespace glm::runner::jinja
