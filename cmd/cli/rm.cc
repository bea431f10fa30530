// glm rm MODEL... — forgets models; files that another model still uses stay.
#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
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
  std::optional<Error> failure;
  for (const std::string& model : args.models) {
    const Result<Json> removed =
        client.remove("/api/delete", {{"model", model}}).with("rm " + model);
    if (removed.ok()) {
      GLM_TRY(print(fmt::format("deleted '{}'\n", model)));
      continue;
    }
    const Error& error = removed.error();
    if (failure) {
      failure->message += "; " + error.message;
    } else {
      failure = error;
    }
    // Nobody is there to ask about the others.
    if (error.code == Errc::unavailable || error.code == Errc::cancelled) break;
  }
  if (failure) return *std::move(failure);
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
