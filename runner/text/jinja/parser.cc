#include "runner/text/jinja/parser.h"

#include <utility>

namespace glm::runner::jinja {
namespace {

// Together they bound how deep a tree is, and with it the stack that walking it takes.
constexpr int kSyntaxDepthMax = 100;
constexpr int kLinksMax = 1000;

}  // namespace

Result<Template> parse_template(std::string source) {
  return Parser(GLM_TRY(tokenize(std::move(source)))).run();
}

Result<Template> Parser::run() {
  for (const Token& token : tokens_) {
    if (token.kind == Token::Kind::name || token.kind == Token::Kind::text) {
      words_.insert(token.text);
    }
  }
  Template parsed;
  parsed.body = GLM_TRY(statements({}));
  parsed.words = std::move(words_);
  return parsed;
}

Token Parser::take() {
  Token token = tokens_[at_];
  if (at_ + 1 < tokens_.size()) ++at_;
  return token;
}

bool Parser::skip_symbol(std::string_view symbol) {
  if (!current().is_symbol(symbol)) return false;
  take();
  return true;
}

bool Parser::skip_name(std::string_view name) {
  if (!current().is_name(name)) return false;
  take();
  return true;
}

Status Parser::expect_symbol(std::string_view symbol) {
  if (skip_symbol(symbol)) return Ok{};
  return fail(current().at, fmt::format("expected '{}', got {}", symbol, current().describe()));
}

Status Parser::expect(Token::Kind kind, std::string_view what) {
  if (current().kind != kind) {
    return fail(current().at, fmt::format("expected {}, got {}", what, current().describe()));
  }
  take();
  return Ok{};
}

Result<std::string> Parser::expect_name() {
  if (current().kind != Token::Kind::name) {
    return fail(current().at, fmt::format("expected a name, got {}", current().describe()));
  }
  return take().text;
}

Error Parser::fail(Position at, std::string_view what) const {
  return make_error(Errc::invalid_argument, "{}: {}", at.str(), what);
}

Error Parser::unexpected() const {
  return fail(current().at, fmt::format("unexpected {}", current().describe()));
}

Status Parser::check_depth() const {
  if (depth_ <= kSyntaxDepthMax) return Ok{};
  return make_error(Errc::exhausted, "{}: nested more than {} deep", current().at.str(),
                    kSyntaxDepthMax);
}

Status Parser::check_link() {
  if (++links_ <= kLinksMax) return Ok{};
  return make_error(Errc::exhausted, "{}: the expression is too long", current().at.str());
}

}  // namespace glm::runner::jinja
