#include "cmd/bench/row_plan.h"

#include <charconv>
#include <system_error>

#include "runner/schedule/kv_blocks.h"

namespace glm::bench {

Result<std::vector<std::int64_t>> number_list(std::string_view flag, const std::string& text,
                                              std::int64_t max) {
  constexpr std::size_t kNumbersMax = 64;
  std::vector<std::int64_t> numbers;
  std::string_view rest = text;
  while (true) {
    const std::string_view item = rest.substr(0, rest.find(','));
    std::int64_t number = 0;
    const auto [stop, failure] = std::from_chars(item.data(), item.data() + item.size(), number);
    if (failure != std::errc() || stop != item.data() + item.size() || number < 1 || number > max ||
        numbers.size() == kNumbersMax) {
      return make_error(Errc::invalid_argument,
                        "{} wants up to {} numbers from 1 to {} with commas between them, got '{}'",
                        flag, kNumbersMax, max, text);
    }
    numbers.push_back(number);
    if (item.size() == rest.size()) return numbers;
    rest.remove_prefix(item.size() + 1);
  }
}

std::vector<RowShape> rows_of(const RowLists& lists) {
  std::vector<RowShape> rows;
  for (const std::int64_t prompt : lists.prompts) {
    for (const std::int64_t generate : lists.generates) {
      for (const std::int64_t sequences : lists.batches) {
        rows.push_back({.context = lists.context,
                        .prompt = prompt,
                        .generate = generate,
                        .sequences = sequences});
      }
    }
  }
  return rows;
}

std::int64_t pages_needed(const RowShape& shape) {
  return shape.sequences * runner::pages_of(shape.tokens_each() + 1);
}

}  // namespace glm::bench
