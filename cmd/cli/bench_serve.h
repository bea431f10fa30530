// How a server answers many at once, by the definitions of `vllm bench serve`. Any server that
// streams POST /v1/completions will do: glm's, vLLM's, llama.cpp's.
#pragma once

#include "base/result.h"
#include "cmd/cli/bench_options.h"

namespace glm {

// Prints the table, or the JSON. Errc::unavailable where requests failed; of the first request that
// of its status.
Status bench_serve(const bench::Options& options);

}  // namespace glm
