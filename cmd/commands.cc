#include "cmd/commands.h"

#include "cmd/cli/cli.h"

namespace glm {
namespace {

constexpr Command kCommands[] = {
    {"run", &add_run},
    {"pull", &add_pull},
    {"list", &add_list},
    {"show", &add_show},
    {"ps", &add_ps},
    {"stop", &add_stop},
    {"rm", &add_rm},
    {"cp", &add_cp},
    {"template", &add_template},
    {"tokenize", &add_tokenize},
    {"detokenize", &add_detokenize},
    {"serve", &add_serve},
    {"bench", &add_bench},
    {"version", &add_version},
};

}  // namespace

std::span<const Command> commands() {
  return kCommands;
}

}  // namespace glm
