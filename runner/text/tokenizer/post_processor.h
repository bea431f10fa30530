// The tokens a sequence begins and ends with when special tokens are asked for.
#pragma once

#include <cstdint>
#include <vector>

#include "base/result.h"
#include "runner/text/tokenizer/json_fields.h"

namespace glm::runner::tokenizing {

struct Affixes {
  std::vector<std::int32_t> before, after;
};

// ByteLevel (which changes offsets only), TemplateProcessing, BertProcessing, RobertaProcessing,
// and sequences of them; empty for a null component. Errc::unsupported names the type.
Result<Affixes> parse_post_processor(const Json& component);

}  // namespace glm::runner::tokenizing
