// "%s" % value, as Python formats.
#pragma once

#include "base/result.h"
#include "runner/text/jinja/operators.h"
#include "runner/text/jinja/value.h"

namespace glm::runner::jinja {

// `values`: a tuple, a dict for %(name)s, or one value.
Result<Value> percent_format(Room& room, const Value& format, const Value& values);

}  // namespace glm::runner::jinja
