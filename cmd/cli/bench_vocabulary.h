// How many token ids the model of a server has, as far as the server says.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "cmd/cli/bench_load.h"

namespace glm::bench {

// Asks as glm says it (POST /api/show) and as llama.cpp's server does (GET /v1/models); nullopt
// where neither is known. Errc::unavailable when nobody answers; Errc::not_found when the server is
// glm's and has no such model.
Result<std::optional<std::int64_t>> find_vocab_size(const LoadTarget& target,
                                                    const std::string& model);

}  // namespace glm::bench
