// Methods of text that the filter "safe" or "escape" went over: markupsafe's Markup. They give
// Markup again, and escape the text that they put into it.
#pragma once

#include "base/result.h"
#include "runner/text/jinja/engine.h"

namespace glm::runner::jinja {

// Calls a method whose object is Markup.
Result<Value> call_markup_method(Engine& engine, const Function& method,
                                 const Arguments& arguments);

}  // namespace glm::runner::jinja
