// What is piped into a command.
#pragma once

#include <cstddef>
#include <string>

#include "base/result.h"

namespace glm {

// All of it, as it is; empty when standard input is closed. Errc::exhausted beyond size_max_bytes.
Result<std::string> read_standard_input(std::size_t size_max_bytes);

}  // namespace glm
