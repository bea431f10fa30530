// Reading part of an item, as map(attribute="a.b") and its like do it.
#pragma once

#include "base/result.h"
#include "runner/text/jinja/engine.h"

namespace glm::runner::jinja {

// item["a"]["b"] for "a.b"; parts of digits are indices. Missing or none: the item itself. At every
// step the fallback, if there is one, stands in for what is not there.
Result<Value> attribute_path(Engine& engine, Value item, const Value& path,
                             const Value& fallback = Value());

}  // namespace glm::runner::jinja
