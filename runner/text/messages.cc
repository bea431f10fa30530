#include "runner/text/messages.h"
#include "runner/text/bounded_json.h"

#include <nlohmann/json.hpp>
#include <string>
#include <utility>

namespace glm::runner {
namespace {

using Json = nlohmann::ordered_json;

Status normalise_arguments(Json& call) {
  if (!call.is_object()) {
    return make_error(Errc::invalid_argument, "a tool call is a JSON {}, wanted an object",
                      call.type_name());
  }
  Json& function = call.contains("function") ? call["function"] : call;
  if (!function.is_object()) {
    return make_error(Errc::invalid_argument, "function is a JSON {}, wanted an object",
                      function.type_name());
  }
  if (!function.contains("name") || !function["name"].is_string()) {
    return make_error(Errc::invalid_argument, "a tool call has no name");
  }
  Json& arguments = function["arguments"];  // absent: null
  if (arguments.is_null()) arguments = Json::object();
  if (arguments.is_string()) {
    const std::string text = arguments.get<std::string>();
    const bool blank = text.find_first_not_of(" \t\r\n") == std::string::npos;
    arguments = blank ? Json::object() : parse_bounded_json(text);
    if (arguments.is_discarded()) {
      return make_error(Errc::invalid_argument, "the arguments of '{}' are not JSON: {:.80}",
                        function["name"].get<std::string>(), text);
    }
  }
  if (!arguments.is_object()) {
    return make_error(Errc::invalid_argument,
                      "the arguments of '{}' are a JSON {}, wanted an object",
                      function["name"].get<std::string>(), arguments.type_name());
  }
  return Ok{};
}

Status normalise_calls(Json& message) {
  const auto found = message.find("tool_calls");
  if (found == message.end()) return Ok{};
  if (found->is_null()) {
    message.erase("tool_calls");
    return Ok{};
  }
  if (!found->is_array()) {
    return make_error(Errc::invalid_argument, "tool_calls is a JSON {}, wanted an array",
                      found->type_name());
  }
  std::size_t index = 0;
  for (Json& call : *found) {
    GLM_TRY(normalise_arguments(call).with(fmt::format("tool_calls[{}]", index)));
    ++index;
  }
  return Ok{};
}

Status normalise(Json& message) {
  if (!message.is_object()) {
    return make_error(Errc::invalid_argument, "a JSON {}, wanted an object", message.type_name());
  }
  const auto role = message.find("role");
  if (role == message.end() || !role->is_string()) {
    return make_error(Errc::invalid_argument, "role is missing or not a string");
  }
  if (*role == "developer") *role = "system";
  if (*role == "function") *role = "tool";  // its name of old
  if (*role != "system" && *role != "user" && *role != "assistant" && *role != "tool") {
    // A template leaves out what it does not know, without a word.
    return make_error(Errc::invalid_argument,
                      "role {} is not one of system, developer, user, assistant, tool",
                      role->dump());
  }
  Json& content = message["content"];  // absent: null
  if (content.is_null()) content = "";
  if (!content.is_string() && !content.is_array()) {
    return make_error(Errc::invalid_argument, "content is a JSON {}, wanted a string or an array",
                      content.type_name());
  }
  for (const char* key : {"thinking", "reasoning"}) {
    const auto thought = message.find(key);
    if (thought == message.end() || !thought->is_string()) continue;
    if (message.contains("reasoning_content")) break;
    message["reasoning_content"] = std::string(thought->get_ref<const std::string&>());
  }
  // Ollama's clients say tool_name where templates read name.
  const auto tool_name = message.find("tool_name");
  if (tool_name != message.end() && tool_name->is_string() && !message.contains("name")) {
    message["name"] = std::string(tool_name->get_ref<const std::string&>());
  }
  return normalise_calls(message);
}

}  // namespace

Result<Json> normalise_messages(Json messages) {
  if (!messages.is_array()) {
    return make_error(Errc::invalid_argument, "messages is a JSON {}, wanted an array",
                      messages.type_name());
  }
  std::size_t index = 0;
  for (Json& message : messages) {
    GLM_TRY(normalise(message).with(fmt::format("messages[{}]", index)));
    ++index;
  }
  return messages;
}

}  // namespace glm::runner
