#include "modelfiles/parser.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/spelling.h"
#include "modelfiles/lexer.h"
#include "modelfiles/parameters.h"

namespace glm::modelfiles {
namespace {

struct Parsing {
  Lexer lexer;
  Modelfile result;
  std::map<std::string, std::size_t> seen;  // "FROM", "PARAMETER top_p" → offset
};

std::string upper(std::string_view text) {
  std::string result(text);
  for (char& c : result) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return result;
}

Status once(Parsing& p, const std::string& what, std::size_t offset) {
  const auto [first, is_new] = p.seen.emplace(what, offset);
  if (is_new) return Ok{};
  return p.lexer.error(offset, fmt::format("{} stands on line {} already", what,
                                           p.lexer.line_number(first->second)));
}

// The offset of the instruction's own word, for errors about the whole line.
using Instruction = Status (*)(Parsing& p, std::size_t offset);

Status from(Parsing& p, std::size_t offset) {
  GLM_TRY(once(p, "FROM", offset));
  Piece value = GLM_TRY(p.lexer.value("FROM"));
  if (value.text.empty()) return p.lexer.error(value.offset, "FROM wants a model, got ''");
  const std::size_t blank = value.text.find_first_of(" \t\n");
  if (blank != std::string::npos) {
    return p.lexer.error(value.offset + blank, "FROM wants one model and nothing behind it");
  }
  p.result.from = std::move(value.text);
  return Ok{};
}

Status parameter(Parsing& p, std::size_t) {
  const Piece name = p.lexer.word();
  if (name.text.empty()) return p.lexer.error(name.offset, "PARAMETER wants a name and a value");
  const auto row = parameter_table().require(name.text);
  if (!row.ok()) {
    std::string message = row.error().message;
    const std::string_view generic = "there is no option ";
    if (message.starts_with(generic)) message.replace(0, generic.size(), "there is no parameter ");
    return p.lexer.error(name.offset, message);
  }
  Piece value = GLM_TRY(p.lexer.value(name.text));
  const auto checked = OptionTable::parse(**row, value.text);
  if (!checked.ok()) return p.lexer.error(value.offset, checked.error().message);
  if ((*row)->type != OptionType::texts) {
    GLM_TRY(once(p, "PARAMETER " + name.text, name.offset));
  }
  p.result.parameters.push_back({name.text, std::move(value.text)});
  return Ok{};
}

// Ollama's templates are Go's; the checkpoints' own, and ours, are Jinja.
bool looks_like_go(std::string_view text) {
  for (std::size_t at = text.find("{{"); at != text.npos; at = text.find("{{", at + 2)) {
    std::size_t next = text.find_first_not_of(" -", at + 2);
    const std::string_view rest = next == text.npos ? std::string_view() : text.substr(next);
    for (const std::string_view start : {".", "if .", "range .", "end }}", "end}}", "else }}"}) {
      if (rest.starts_with(start)) return true;
    }
  }
  return false;
}

Status template_text(Parsing& p, std::size_t offset) {
  GLM_TRY(once(p, "TEMPLATE", offset));
  Piece value = GLM_TRY(p.lexer.value("TEMPLATE"));
  if (looks_like_go(value.text)) {
    return p.lexer.error(offset,
                         "this TEMPLATE is written for Go; glm wants Jinja, or no TEMPLATE to use "
                         "the checkpoint's own",
                         Errc::unsupported);
  }
  p.result.template_text = std::move(value.text);
  return Ok{};
}

Status system(Parsing& p, std::size_t offset) {
  GLM_TRY(once(p, "SYSTEM", offset));
  p.result.system = GLM_TRY(p.lexer.value("SYSTEM")).text;
  return Ok{};
}

Status message(Parsing& p, std::size_t) {
  constexpr std::array<std::string_view, 3> kRoles = {"system", "user", "assistant"};
  const Piece role = p.lexer.word();
  if (role.text.empty()) return p.lexer.error(role.offset, "MESSAGE wants a role and a text");
  if (std::find(kRoles.begin(), kRoles.end(), role.text) == kRoles.end()) {
    return p.lexer.error(role.offset,
                         fmt::format("MESSAGE wants the role system, user or assistant, got '{}'{}",
                                     role.text, did_you_mean(role.text, kRoles)));
  }
  std::string content = GLM_TRY(p.lexer.value("MESSAGE " + role.text)).text;
  p.result.messages.push_back({role.text, std::move(content)});
  return Ok{};
}

Status license(Parsing& p, std::size_t) {
  p.result.licenses.push_back(GLM_TRY(p.lexer.value("LICENSE")).text);
  return Ok{};
}

struct Row {
  std::string_view name;
  Instruction parse;              // nullptr: known elsewhere, not here
  std::string_view refusal = {};  // why not
};

constexpr Row kInstructions[] = {
    {"FROM", &from},
    {"PARAMETER", &parameter},
    {"TEMPLATE", &template_text},
    {"SYSTEM", &system},
    {"MESSAGE", &message},
    {"LICENSE", &license},
    {"ADAPTER", nullptr, "glm does not apply adapters; merge it into a checkpoint first"},
    {"DRAFT", nullptr, "a draft model is part of the checkpoint here; leave the line out"},
    {"RENDERER", nullptr, "the prompt comes from the checkpoint's template; leave the line out"},
    {"PARSER", nullptr, "the output's form is known from the checkpoint; leave the line out"},
    {"REQUIRES", nullptr, "versions of other programs mean nothing here; leave the line out"},
};

Status instruction(Parsing& p) {
  const Piece word = p.lexer.word();
  const std::string name = upper(word.text);
  std::vector<std::string_view> ours;
  for (const Row& row : kInstructions) {
    if (row.parse != nullptr) ours.push_back(row.name);
    if (row.name != name) continue;
    if (row.parse != nullptr) return row.parse(p, word.offset);
    return p.lexer.error(word.offset, fmt::format("{} is not supported: {}", name, row.refusal),
                         Errc::unsupported);
  }
  constexpr std::size_t kShownMax = 40;
  if (word.text.size() > kShownMax) return p.lexer.error(word.offset, "this is no instruction");
  return p.lexer.error(word.offset, fmt::format("there is no instruction '{}'{}", word.text,
                                                did_you_mean(word.text, ours)));
}

Status check_bytes(const Lexer& lexer, std::string_view text) {
  const std::size_t zero = text.find('\0');
  if (zero == std::string_view::npos) return Ok{};
  return lexer.error(zero, "a zero byte: this is no text file");
}

}  // namespace

Result<Modelfile> parse(std::string_view text, std::string_view file_name) {
  Parsing p{.lexer = Lexer(text, file_name), .result = {}, .seen = {}};
  GLM_TRY(check_bytes(p.lexer, text));
  while (p.lexer.next_line()) GLM_TRY(instruction(p));
  if (p.result.from.empty()) {
    return make_error(Errc::invalid_argument, "{}: FROM is missing", file_name);
  }
  return std::move(p.result);
}

}  // namespace glm::modelfiles
