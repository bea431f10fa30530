// glm cp SOURCE DESTINATION — a second name for a model; its files are shared.
#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "cmd/cli/cli.h"
#include "cmd/cli/terminal.h"

namespace glm {
namespace {

struct Args {
  std::string source, destination;
};

Status cp(Cli& cli, const Args& args) {
  GLM_TRY(check_utf8(args.source + args.destination, "the model's name"));
  Client client = GLM_TRY(connect(cli));
  const Json body = {{"source", args.source}, {"destination", args.destination}};
  GLM_TRY(client.post("/api/copy", body).with("cp " + args.source));
  return print(fmt::format("copied '{}' to '{}'\n", args.source, args.destination));
}

}  // namespace

void add_cp(CLI::App& app, Cli& cli) {
  auto args = std::make_shared<Args>();
  CLI::App* command = add_command(app, "cp", "Give a model a second name");
  command->add_option("source", args->source, "The model as it is called now")->required();
  command->add_option("destination", args->destination, "The new name")->required();
  command->callback([&cli, args] { cli.run = [&cli, args] { return cp(cli, *args); }; });
}

}  // namespace glm
