// The entries of the table in formats.cc.
#pragma once

#include "runner/checkpoint/formats.h"

namespace glm::runner::formats {

Result<std::optional<StoredWeight>> detect_ct_pack_quantized(const ModuleQuery& query);
Status read_ct_pack_quantized(const WeightRead& read);

Result<std::optional<StoredWeight>> detect_fp4(const ModuleQuery& query);
Status read_fp4(const WeightRead& read);

Result<std::optional<StoredWeight>> detect_scaled(const ModuleQuery& query);
Status read_scaled(const WeightRead& read);

Result<std::optional<StoredWeight>> detect_gptq(const ModuleQuery& query);
Status read_gptq(const WeightRead& read);

Result<std::optional<StoredWeight>> detect_awq(const ModuleQuery& query);
Status read_awq(const WeightRead& read);

Result<std::optional<StoredWeight>> detect_plain(const ModuleQuery& query);
Status read_plain(const WeightRead& read);

}  // namespace glm::runner::formats
