// glm version — of this program, of what it was built with and of the daemon.
#include "cmd/version.h"

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "cmd/cli/cli.h"
#include "cmd/cli/terminal.h"
#include "kernels/device_info.h"

namespace glm {
namespace {

struct Args {
  bool json = false;
};

std::string backends() {
  return std::string(kernels::backends());
}

Status version(Cli& cli, const Args& args) {
  const HostAddress address = GLM_TRY(daemon_address(cli.host));
  const Peer peer = who_answers(address);
  const bool runs = peer.kind == Peer::Kind::glm;
  if (args.json) {
    Json daemon = nullptr;
    if (runs) daemon = {{"version", peer.version}, {"host", address.str()}};
    return print_json(
        {{"version", kVersion}, {"backends", backends()}, {"daemon", std::move(daemon)}});
  }
  return print(fmt::format("glm {}\nbackends: {}\ndaemon: {}\n", kVersion, backends(),
                           runs ? fmt::format("{} at {}", for_terminal(peer.version), address.str())
                                : fmt::format("none at {}", address.str())));
}

}  // namespace

void add_version(CLI::App& app, Cli& cli) {
  auto args = std::make_shared<Args>();
  CLI::App* command = add_command(app, "version", "Print versions and backends");
  command->add_flag("--json", args->json, "Print JSON");
  command->callback([&cli, args] { cli.run = [&cli, args] { return version(cli, *args); }; });
}

}  // namespace glm
