// glm pull MODEL — fetches a model, or what is new of it.
#include "cmd/cli/pull.h"

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "cmd/cli/local_model.h"
#include "cmd/cli/pull_view.h"
#include "cmd/cli/terminal.h"

namespace glm {
namespace {

struct Args {
  std::string model;
  bool json = false;
};

Status pull(Cli& cli, const Args& args) {
  GLM_TRY(check_utf8(args.model, "the model's name"));
  GLM_TRY(refuse_folder(args.model));
  Client client = GLM_TRY(connect(cli));
  return pull_model(client, args.model, args.json ? Format::json : Format::text)
      .with("pull " + args.model);
}

}  // namespace

Status pull_model(Client& client, const std::string& model, Format format) {
  PullView view({.style = stderr_is_terminal() ? PullView::Style::redrawn : PullView::Style::lines,
                 .width = terminal_width()},
                system_clock(), [](std::string_view text) { say(text); });
  std::string last_status;
  const auto each = [&](const Json& line) -> Status {
    last_status = text_field(line, "status");
    if (format == Format::json) return print_json(line);
    view.update(line);
    return Ok{};
  };
  Status done = client.stream("/api/pull", {{"model", model}, {"stream", true}}, each);
  if (format == Format::text) view.finish();
  if (done.ok() && last_status != "success") {
    done = make_error(Errc::unavailable, "the daemon at {} stopped reporting after '{}'",
                      client.address().str(), last_status);
  }
  if (!done.ok() && format == Format::json && done.error().code != Errc::cancelled) {
    GLM_TRY(print_json({{"error", done.error().message}, {"code", name(done.error().code)}}));
  }
  return done;
}

void add_pull(CLI::App& app, Cli& cli) {
  auto args = std::make_shared<Args>();
  CLI::App* command = add_command(app, "pull", "Fetch a model from Hugging Face, or the catalog");
  command->add_option("model", args->model, "name[:tag], org/name or org/name@revision")
      ->required();
  command->add_flag("--json", args->json, "Print the progress as one JSON object per line");
  command->callback([&cli, args] { cli.run = [&cli, args] { return pull(cli, *args); }; });
}

}  // namespace glm
