// glm show MODEL|PATH — what a model is and where it comes from: one that is here, one on the hub
// that was not pulled, or a folder of files, which needs no daemon.
#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <system_error>

#include "cmd/api/description.h"
#include "cmd/api/plan_answer.h"
#include "cmd/cli/cli.h"
#include "cmd/cli/hardware.h"
#include "cmd/cli/model_page.h"
#include "cmd/cli/patience.h"
#include "cmd/cli/table.h"
#include "cmd/cli/terminal.h"
#include "cmd/daemon/prompt_files.h"
#include "registry/model_name.h"
#include "runner/checkpoint/checkpoint_files.h"

namespace glm {
namespace {

namespace fs = std::filesystem;

struct Args {
  std::string model;
  std::string part = "info";
  bool json = false;
  bool plan = false;
  std::string hardware;
  std::int64_t num_ctx = 0;
};

// "/x", "./x", "..": nothing that a model is named by. So is a folder whose path is no name.
bool means_folder(const std::string& text) {
  if (text.starts_with('/') || text == "." || text == ".." || text.starts_with("./") ||
      text.starts_with("../")) {
    return true;
  }
  std::error_code ignored;
  return !registry::ModelRef::parse(text).ok() && fs::is_directory(text, ignored);
}

// Before anything else in it is looked at: it may be somebody's home. Weights without a
// configuration are still worth a word, and an error of the folder itself is told by files_in().
Status check_model_folder(const fs::path& folder) {
  std::error_code error;
  bool model = false;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    model =
        model || name == "config.json" || name.ends_with(".safetensors") || name.ends_with(".gguf");
  }
  if (error || model) return Ok{};
  return make_error(Errc::not_found, "{}: no config.json here: not a model folder",
                    folder.string());
}

Result<Json> show_folder(const std::string& text, const Json& request) {
  std::error_code ignored;
  if (fs::is_regular_file(text, ignored)) {
    return make_error(Errc::invalid_argument, "{} is a file; name the folder it is in", text);
  }
  GLM_TRY(check_model_folder(text));
  const runner::CheckpointFiles files = GLM_TRY(runner::files_in(text));
  runner::ModelFacts facts = GLM_TRY(runner::survey(files).with(text));
  if (const Status tokenizer = daemon::check_tokenizer(files); !facts.refusal && !tokenizer.ok()) {
    facts.refusal = tokenizer.error();
  }
  Json answer = {{"model", text}};
  const Json more = api::description(facts, files, {});
  for (const auto& [field, value] : more.items()) answer[field] = value;
  answer["size"] = facts.weight_bytes;
  answer["folder"] = fs::weakly_canonical(text, ignored).string();
  for (const auto& [path, file] : files) {
    answer["files"].push_back({{"path", path}, {"size", fs::file_size(file, ignored)}});
  }
  if (const auto wanted = GLM_TRY(api::plan_request(request))) {
    answer["plan"] = GLM_TRY(api::plan_answer(*wanted, facts, {}, {}).with(text));
  }
  return answer;
}

Result<Json> show_model(Cli& cli, const std::string& model, const Json& request) {
  Client client = GLM_TRY(connect(cli));
  Result<Json> answer = [&] {
    // Nothing else takes so long: what is here is answered at once.
    const Patience patience([&] {
      const std::string hub = who_answers(client.address()).hub;
      return fmt::format("glm: waiting for {} to answer about {}, for up to 90 s\n",
                         hub.empty() ? "the hub" : for_terminal(hub), for_terminal(model));
    });
    return client.post("/api/show", request);
  }();
  std::error_code ignored;
  if (!answer.ok() && fs::is_directory(model, ignored)) {
    Error error = std::move(answer).error();
    error.message += fmt::format("; the folder of that name is ./{}", model);
    return error;
  }
  return answer;
}

// The body of POST /api/show.
Result<Json> request_of(const Args& args) {
  Json request = {{"model", args.model}, {"remote", true}};
  if (args.plan) {
    request["plan"] = {{"hardware", GLM_TRY(hardware_for_plan(args.hardware))},
                       {"num_ctx", args.num_ctx}};
  }
  return request;
}

// A line each: what, how much, why.
std::string plan_page(const Json& plan) {
  std::vector<std::vector<std::string>> rows;
  const auto lines = plan.find("lines");
  if (lines == plan.end() || !lines->is_array()) return {};
  for (const Json& line : *lines) {
    rows.push_back(
        {text_field(line, "name"), text_field(line, "value"), text_field(line, "reason")});
  }
  return table(rows);
}

Status show(Cli& cli, const Args& args) {
  GLM_TRY(check_utf8(args.model, "the model's name"));
  if (!args.plan && (!args.hardware.empty() || args.num_ctx > 0)) {
    return make_error(Errc::invalid_argument, "--hardware and --num-ctx belong to --plan");
  }
  if (args.plan && args.part != "info") {
    return make_error(Errc::invalid_argument, "--plan and --{} are two answers; ask for one",
                      args.part);
  }
  const Json request = GLM_TRY(request_of(args));
  const Json answer = GLM_TRY(means_folder(args.model) ? show_folder(args.model, request)
                                                       : show_model(cli, args.model, request));
  if (args.plan) {
    const Json plan = answer.value("plan", Json::object());
    return args.json ? print_json(plan) : print(plan_page(plan));
  }
  if (args.json) return print_json(answer);
  const std::string text = GLM_TRY(model_page_part(answer, args.part).with(args.model));
  return print(stdout_is_terminal() ? for_terminal(text) : text);
}

}  // namespace

void add_show(CLI::App& app, Cli& cli) {
  auto args = std::make_shared<Args>();
  CLI::App* command = add_command(app, "show", "Show what a model is");
  command->add_option("model", args->model, "name[:tag], org/name[@revision], or a folder: ./path")
      ->required();
  auto* parts = command->add_option_group("Only one text of it");
  for (const char* part : {"modelfile", "parameters", "template", "system", "license"}) {
    parts->add_flag_callback(
        std::string("--") + part, [args, part] { args->part = part; },
        fmt::format("Print only the {}", part));
  }
  parts->add_flag("--json", args->json, "Print JSON");
  parts->require_option(0, 1);
  command->add_flag("--plan", args->plan, "Print what a run of it would be, and why");
  command->add_option("--hardware", args->hardware, "Plan for this, not for what is here")
      ->type_name("cpu|rtx-4090|h200|…");
  command->add_option("--num-ctx", args->num_ctx, "Plan for a context of so many tokens")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{INT32_MAX}));
  command->callback([&cli, args] { cli.run = [&cli, args] { return show(cli, *args); }; });
}

}  // namespace glm
