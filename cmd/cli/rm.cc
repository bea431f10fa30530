// glm rm MODEL... — forgets models; files that another model still uses stay.
#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cmd/cli/cli.h"
#include "cmd/cli/terminal.h"

namespace glm {
namespace {

struct Args {
  std::vector<std::string> models;
};

Status rm(Cli& cli, const Args& args) {
  for (const std::string& model : args.models) GLM_TRY(check_utf8(model, "the model's name"));
  Client client = GLM_TRY(connect(cli));
  for (const std::string& model : args.models) {
    GLM_TRY(client.remove("/api/delete", {{"model", model}}).with("rm " + model));
    GLM_TRY(print(fmt::format("deleted '{}'\n", model)));
  }
  return Ok{};
}

}  // namespace

void add_rm(CLI::App& app, Cli& cli) {
  auto args = std::make_shared<Args>();
  CLI::App* command = add_command(app, "rm", "Forget models and free what only they used");
  command->add_option("model", args->models, "name[:tag] or org/name")->required();
  command->callback([&cli, args] { cli.run = [&cli, args] { return rm(cli, *args); }; });
}

}  // namespace glm
