// What Python's str can do, shared by methods ("x".strip()) and filters (x | trim).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "runner/text/jinja/engine.h"

namespace glm::runner::jinja {

// str.replace; a negative count means all.
Result<Value> replace_text(Engine& engine, std::string_view text, std::string_view from,
                           std::string_view to, Int count);

Native find_text_method(std::string_view name);

// str.splitlines()
std::vector<std::string_view> split_lines(std::string_view text);

// Pads with blanks to a width in characters.
enum class Align { left, center, right };
Result<Value> pad_text(Engine& engine, std::string_view text, Int width, std::string_view fill,
                       Align align);

}  // namespace glm::runner::jinja
