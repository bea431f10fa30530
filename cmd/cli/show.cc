// glm show MODEL — what a model is and where it comes from.
#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "cmd/cli/cli.h"
#include "cmd/cli/model_page.h"
#include "cmd/cli/terminal.h"

namespace glm {
namespace {

struct Args {
  std::string model;
  std::string part = "info";
  bool json = false;
};

Status show(Cli& cli, const Args& args) {
  GLM_TRY(check_utf8(args.model, "the model's name"));
  Client client = GLM_TRY(connect(cli));
  const Json answer = GLM_TRY(client.post("/api/show", {{"model", args.model}}));
  if (args.json) return print_json(answer);
  const std::string text = GLM_TRY(model_page_part(answer, args.part).with(args.model));
  return print(stdout_is_terminal() ? for_terminal(text) : text);
}

}  // namespace

void add_show(CLI::App& app, Cli& cli) {
  auto args = std::make_shared<Args>();
  CLI::App* command = add_command(app, "show", "Show what a model is");
  command->add_option("model", args->model, "name[:tag] or org/name")->required();
  auto* parts = command->add_option_group("Only one text of it");
  for (const char* part : {"modelfile", "parameters", "template", "system", "license"}) {
    parts->add_flag_callback(
        std::string("--") + part, [args, part] { args->part = part; },
        fmt::format("Print only the {}", part));
  }
  parts->add_flag("--json", args->json, "Print JSON");
  parts->require_option(0, 1);
  command->callback([&cli, args] { cli.run = [&cli, args] { return show(cli, *args); }; });
}

}  // namespace glm
