#include "runner/text/chat_template.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "runner/text/jinja/interpreter.h"
#include "runner/text/jinja/json.h"
#include "runner/text/jinja/parser.h"

namespace glm::runner {

struct ChatTemplate::Program {
  std::string source;
  jinja::Template parsed;
};

ChatTemplate::ChatTemplate(std::unique_ptr<const Program> program) : program_(std::move(program)) {}
ChatTemplate::ChatTemplate(ChatTemplate&&) noexcept = default;
ChatTemplate& ChatTemplate::operator=(ChatTemplate&&) noexcept = default;
ChatTemplate::~ChatTemplate() = default;

Result<ChatTemplate> ChatTemplate::parse(std::string source) {
  auto program = std::make_unique<Program>();
  program->source = source;
  program->parsed = GLM_TRY(jinja::parse_template(std::move(source)).with("chat template"));
  return ChatTemplate(std::move(program));
}

Result<std::string> ChatTemplate::render(const nlohmann::ordered_json& context,
                                         const RenderOptions& options) const {
  if (!context.is_object()) {
    return make_error(Errc::invalid_argument,
                      "chat template: the context is a JSON {}, wanted an "
                      "object",
                      context.type_name());
  }
  jinja::Interpreter interpreter(*options.clock, options.steps_max);
  const auto values = GLM_TRY(jinja::from_json(interpreter.room(), context).with("chat template"));
  return interpreter.render(program_->parsed.body, values).with("chat template");
}

bool ChatTemplate::mentions(std::string_view name) const {
  return program_->parsed.words.contains(name);
}

bool ChatTemplate::contains(std::string_view text) const {
  return program_->source.find(text) != std::string::npos;
}

}  // namespace glm::runner
