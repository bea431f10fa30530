// Which rows are measured: lists as typed, and what of them the device has room for.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cmd/bench/generation.h"

namespace glm::bench {

// "1,2,4": up to 64 numbers from 1 to `max`. Errc::invalid_argument names the flag.
Result<std::vector<std::int64_t>> number_list(std::string_view flag, const std::string& text,
                                              std::int64_t max);

struct RowLists {
  std::vector<std::int64_t> prompts;
  std::vector<std::int64_t> generates;
  std::vector<std::int64_t> batches;
  std::int64_t context = 0;
};

// Every combination, numbers of sequences innermost.
std::vector<RowShape> rows_of(const RowLists& lists);

// Pages that a row needs at its end, with a token more for each sequence.
std::int64_t pages_needed(const RowShape& shape);

}  // namespace glm::bench
