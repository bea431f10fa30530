// How a model writes tool calls, read off its chat template: a template shows calls of earlier
// turns the way the model is to make them.
//
// Another family is one row here, and a state machine in tool_parser if its layout is new.
#pragma once

#include "runner/text/chat_template.h"

namespace glm::runner {

enum class CallLayout {
  none,      // no call is recognised; everything is text
  arg_tags,  // GLM: <tool_call>name<arg_key>k</arg_key><arg_value>v</arg_value></tool_call>
  json,      // Hermes, Qwen: <tool_call>{"name": …, "arguments": {…}}</tool_call>
};

CallLayout call_layout(const ChatTemplate& chat_template);

}  // namespace glm::runner
