// Finds a model's tool calls in an answer's content, as it arrives.
//
//   GLM-4.7   <tool_call>name<arg_key>k</arg_key><arg_value>v</arg_value>…</tool_call>
//   GLM-4.5   <tool_call>name⏎<arg_key>k</arg_key>⏎<arg_value>v</arg_value>⏎…</tool_call>
//   Hermes    <tool_call>⏎{"name": name, "arguments": {k: v …}}⏎</tool_call>
//
// GLM's values are not escaped, so this is no XML: "<", "&" and newlines are part of them. The
// tool's JSON schema decides the type of a value (json_schema.h). Damage is repaired the way models
// cause it: missing closers are closed, a key without a value is dropped, a JSON payload
// {"name", "arguments"} is accepted there too. A JSON call is reported when it is complete: only
// then it is known to be JSON. The events, joined, do not depend on how the text was cut.
//
// Thread safety: one parser belongs to one answer and one thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "runner/text/call_layout.h"

namespace glm::runner {

struct ToolEvent {
  enum class Kind {
    text,        // content for the user
    call_begin,  // a call to a known tool; `name` is complete
    arguments,   // the next piece of the call's arguments as JSON text; string values are streamed
    call_end,    // `text` is the whole arguments object, the pieces joined
    call_cut_off,  // instead: `text` is what there is of it, which is no JSON
  };
  Kind kind;
  std::int32_t index;  // of the call within this answer, from 0; -1 for text
  std::string name;    // of the call
  std::string text;
};

class ToolParser {
 public:
  // What becomes of a call to a tool that was not offered.
  enum class UnknownTools { as_text, as_calls };

  // `tools`: the request's array, [{"type": "function", "function": {"name", "parameters"}}] or
  // the bare functions; null or empty: everything is text (with as_calls: every call is a call).
  explicit ToolParser(const nlohmann::ordered_json& tools,
                      UnknownTools unknown_tools = UnknownTools::as_text,
                      CallLayout layout = CallLayout::arg_tags);
  ToolParser(ToolParser&&) noexcept;
  ToolParser& operator=(ToolParser&&) noexcept;
  ~ToolParser();

  std::vector<ToolEvent> push(std::string_view text);

  // Call once, at the end. What the model left open when it ended its turn is closed. A call that
  // was cut off stays open: closed, half a file or half a command would be taken for the whole.
  enum class End { turn, cut_off };
  std::vector<ToolEvent> finish(End end = End::turn);

  // Calls completed so far.
  std::int32_t calls() const;

 private:
  class Machine;
  std::unique_ptr<Machine> machine_;
};

}  // namespace glm::runner
