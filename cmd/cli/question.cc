#include "cmd/cli/question.h"

#include <utility>
#include <vector>

#include "cmd/cli/cli.h"
#include "modelfiles/parameters.h"

namespace glm {
namespace {

struct ToJson {
  Json operator()(const std::vector<std::string>& texts) const {
    Json list = Json::array();
    for (const std::string& text : texts) list.push_back(text);
    return list;
  }
  template <typename T>
  Json operator()(const T& value) const {
    return value;
  }
};

}  // namespace

Status set_option(Json& options, std::string_view name, std::string_view text,
                  std::string_view where) {
  const OptionRow* row = GLM_TRY(modelfiles::parameter_table().require(name).with(where));
  const OptionValue value = GLM_TRY(OptionTable::parse(*row, text).with(where));
  Json json = std::visit(ToJson{}, value);
  Json& slot = options[std::string(name)];
  if (slot.is_array() && json.is_array()) {
    for (Json& item : json) slot.push_back(std::move(item));
  } else {
    slot = std::move(json);
  }
  return Ok{};
}

Json request_for(const Asking& asking) {
  Json request = {{"model", asking.model}, {"stream", true}};
  if (asking.think == "true" || asking.think == "false") {
    request["think"] = asking.think == "true";
  } else if (!asking.think.empty()) {
    request["think"] = asking.think;
  }
  if (!asking.keep_alive.empty()) request["keep_alive"] = asking.keep_alive;
  if (!asking.options.empty()) request["options"] = asking.options;
  return request;
}

Status receive(Client& client, std::string_view path, const Json& body, AnswerPrinter* printer,
               Answer& answer) {
  bool done = false;
  const auto each = [&](const Json& line) -> Status {
    const auto message = line.find("message");
    const Json& holder = message != line.end() ? *message : line;
    const std::string thinking = text_field(holder, "thinking");
    const std::string content = text_field(holder, message != line.end() ? "content" : "response");
    answer.thinking += thinking;
    answer.content += content;
    if (printer != nullptr) {
      printer->note(text_field(line, "note"));
      GLM_TRY(printer->thinking(thinking));
      GLM_TRY(printer->content(content));
    }
    const auto flag = line.find("done");
    if (flag != line.end() && flag->is_boolean() && flag->get<bool>()) {
      done = true;
      answer.last = line;
    }
    return Ok{};
  };
  GLM_TRY(client.stream(path, body, each));
  if (!done) {
    return make_error(Errc::unavailable, "the answer of the daemon at {} ended in the middle",
                      client.address().str());
  }
  return Ok{};
}

std::string cut_off_note(const Asking& asking, const Answer& answer, const CutOffAdvice& advice) {
  if (text_field(answer.last, "done_reason") != "length") return {};
  const bool blank = answer.content.find_first_not_of(" \t\r\n") == std::string::npos;
  if (!blank && asking.options.contains("num_predict")) return {};
  return fmt::format(
      "glm: the answer was cut off after {} tokens{}: {}\n",
      integer_field(answer.last, "eval_count"),
      blank && !answer.thinking.empty() ? ", while the model was still thinking" : "",
      blank ? advice.before_text : advice.within_text);
}

}  // namespace glm
