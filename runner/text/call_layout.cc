#include "runner/text/call_layout.h"

#include <array>
#include <string_view>

namespace glm::runner {
namespace {

struct Row {
  std::array<std::string_view, 2> marks;  // all of them stand in the template
  CallLayout layout;
};

// The first that fits.
constexpr Row kRows[] = {
    {{"<tool_call>", "<arg_key>"}, CallLayout::arg_tags},
    {{"<tool_call>", "arguments"}, CallLayout::json},
};

}  // namespace

CallLayout call_layout(const ChatTemplate& chat_template) {
  for (const Row& row : kRows) {
    if (chat_template.contains(row.marks[0]) && chat_template.contains(row.marks[1])) {
      return row.layout;
    }
  }
  return CallLayout::none;
}

}  // namespace glm::runner
