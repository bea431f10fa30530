// glm serve — the daemon, in the foreground.
#include "cmd/daemon/serve.h"

#include <CLI/CLI.hpp>

#include "cmd/cli/cli.h"
#include "cmd/outcome.h"

namespace glm {
namespace {

// docs/cli.md says more.
constexpr const char* kEnvironment =
    "Environment:\n"
    "  GLM_HOST                    Where to listen; 127.0.0.1:11435\n"
    "  GLM_HOME                    Folder of models, log and pid; ~/.glm\n"
    "  GLM_KEEP_ALIVE              How long a model stays loaded unused; 5m\n"
    "  GLM_MAX_LOADED_MODELS       0: as many as memory holds\n"
    "  HF_TOKEN                    For private and gated repositories\n"
    "  HF_ENDPOINT                 The hub, or a mirror of it\n"
    "  HF_HUB_OFFLINE              1: the hub is not asked\n";

}  // namespace

void add_serve(CLI::App& app, Cli& cli) {
  CLI::App* command =
      add_command(app, "serve", "Run the daemon here; other commands start it by themselves");
  command->footer(fmt::format("{}\n{}", kEnvironment, exit_codes_help()));
  command->callback([&cli] { cli.run = [&cli] { return daemon::serve({.host = cli.host}); }; });
}

}  // namespace glm
