// The filters, by what they work on; one table each.
#pragma once

#include <span>

#include "runner/text/jinja/engine.h"

namespace glm::runner::jinja {

std::span<const Builtin<Native>> text_filters();      // filters_text.cc
std::span<const Builtin<Native>> order_filters();     // filters_order.cc
std::span<const Builtin<Native>> sequence_filters();  // filters_sequence.cc
std::span<const Builtin<Native>> value_filters();     // filters_value.cc

}  // namespace glm::runner::jinja
