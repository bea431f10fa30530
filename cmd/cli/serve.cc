// glm serve — the daemon, in the foreground.
#include "cmd/daemon/serve.h"

#include <CLI/CLI.hpp>

#include "cmd/cli/cli.h"

namespace glm {

void add_serve(CLI::App& app, Cli& cli) {
  CLI::App* command =
      add_command(app, "serve", "Run the daemon here; other commands start it by themselves");
  command->callback([&cli] { cli.run = [&cli] { return daemon::serve({.host = cli.host}); }; });
}

}  // namespace glm
