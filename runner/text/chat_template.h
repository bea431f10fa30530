// A checkpoint's chat_template.jinja: messages in, prompt text out.
//
// A Jinja interpreter with the settings that transformers uses (trim_blocks, lstrip_blocks, loop
// controls, tojson as Python's json.dumps, sandbox), after the semantics of Jinja 3.1 on Python 3.
// Templates come from strangers: depth, steps and memory of a rendering are bounded, and nothing
// outside the context can be reached.
//
// Thread safety: a parsed template is immutable; render() may run on any number of threads. Both
// parse() and render() stay within 512 KiB of stack, whatever the template.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"

namespace glm::runner {

struct RenderOptions {
  const Clock* clock = &system_clock();  // what strftime_now() reads, in local time
  std::int64_t steps_max = 40'000'000;   // a long conversation takes a few hundred thousand
};

class ChatTemplate {
 public:
  // Errc::invalid_argument: "line 3, column 7: …", for what Jinja would not accept either.
  // Errc::unsupported: include, import, extends; they need files that a checkpoint does not have.
  static Result<ChatTemplate> parse(std::string source);

  ChatTemplate(ChatTemplate&&) noexcept;
  ChatTemplate& operator=(ChatTemplate&&) noexcept;
  ~ChatTemplate();

  // `context` is an object: messages, tools, add_generation_prompt and whatever else the caller
  // wants visible (enable_thinking, clear_thinking …); see messages.h for what to do with messages
  // first.
  // Errc::invalid_argument: the template raised an exception (with its text) or failed.
  // Errc::exhausted: too many steps, too deep, or too much output.
  Result<std::string> render(const nlohmann::ordered_json& context,
                             const RenderOptions& options = {}) const;

  // Whether the template reads a variable, attribute or key of this name anywhere ("tools",
  // "enable_thinking", "reasoning_content"): what a model can do is read off its template.
  bool mentions(std::string_view name) const;

  // Whether this stands anywhere in its source.
  bool contains(std::string_view text) const;

 private:
  struct Program;
  explicit ChatTemplate(std::unique_ptr<const Program> program);
  std::unique_ptr<const Program> program_;
};

}  // namespace glm::runner
