#include "cmd/commands.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "base/spelling.h"
#include "cmd/cli/cli.h"

namespace glm {
namespace {

constexpr Command kCommands[] = {
    {"run", &add_run, "chat generate"},
    {"pull", &add_pull, "download get fetch"},
    {"list", &add_list, "models"},
    {"show", &add_show, "info inspect"},
    {"ps", &add_ps, "status"},
    {"stop", &add_stop, "kill unload"},
    {"rm", &add_rm, "remove delete"},
    {"cp", &add_cp, "copy"},
    {"template", &add_template},
    {"tokenize", &add_tokenize},
    {"detokenize", &add_detokenize},
    {"serve", &add_serve, "start server daemon"},
    {"bench", &add_bench},
    {"version", &add_version},
};

bool has_word(std::string_view words, std::string_view word) {
  while (!words.empty()) {
    const std::size_t end = std::min(words.find(' '), words.size());
    if (words.substr(0, end) == word) return true;
    words.remove_prefix(std::min(end + 1, words.size()));
  }
  return false;
}

}  // namespace

std::span<const Command> commands() {
  return kCommands;
}

std::string command_hint(std::string_view word) {
  std::vector<std::string_view> names;
  for (const Command& command : commands()) {
    names.push_back(command.name);
    if (has_word(command.elsewhere, word)) {
      return fmt::format("; did you mean '{}'?", command.name);
    }
  }
  return did_you_mean(word, names);
}

}  // namespace glm
