// {"String": …} or {"Regex": …}, as Split and Replace carry it under "pattern".
#pragma once

#include "runner/text/tokenizer/json_fields.h"
#include "runner/text/tokenizer/regex.h"

namespace glm::runner::tokenizing {

Result<Regex> pattern_field(const Json& component);

}  // namespace glm::runner::tokenizing
