// glm run MODEL [PROMPT...] — one answer for a prompt or for what is piped in, else a conversation.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "base/units.h"
#include "cmd/cli/chat.h"
#include "cmd/cli/cli.h"
#include "cmd/cli/local_model.h"
#include "cmd/cli/pull.h"
#include "cmd/cli/question.h"
#include "cmd/cli/standard_input.h"
#include "cmd/cli/statistics.h"
#include "cmd/cli/terminal.h"
#include "modelfiles/parameters.h"
#include "registry/model_name.h"

namespace glm {
namespace {

constexpr std::size_t kStdinMaxBytes = 16u << 20;

struct Args {
  std::string model;
  std::vector<std::string> prompt;
  std::string system;
  std::string keep_alive;
  std::string think;
  bool hide_thinking = false;
  bool verbose = false;
  bool json = false;
  std::map<std::string_view, std::vector<std::string>> options;  // by row name
};

// "--top-k" for top_k.
std::string flag_for(std::string_view option) {
  std::string flag = fmt::format("--{}", option);
  std::replace(flag.begin(), flag.end(), '_', '-');
  return flag;
}

// What is piped in stands before what the command line says.
Result<std::string> whole_prompt(const Args& args) {
  std::string typed;
  for (const std::string& word : args.prompt) typed += (typed.empty() ? "" : " ") + word;
  GLM_TRY(check_utf8(typed, "the prompt"));
  if (stdin_is_terminal()) return typed;
  std::string piped = GLM_TRY(read_standard_input(kStdinMaxBytes));
  while (piped.ends_with('\n') || piped.ends_with('\r')) piped.pop_back();
  GLM_TRY(check_utf8(piped, "standard input"));
  if (piped.empty()) return typed;
  if (typed.empty()) return piped;
  return piped + "\n" + typed;
}

Result<Asking> asking_from(const Args& args) {
  Asking asking;
  asking.model = args.model;
  asking.system = args.system;
  asking.think = args.think;
  asking.keep_alive = args.keep_alive;
  asking.thinking = args.hide_thinking ? ThinkingView::hidden : ThinkingView::shown;
  if (!args.keep_alive.empty()) GLM_TRY(parse_duration(args.keep_alive).with("--keepalive"));
  GLM_TRY(check_utf8(args.model, "the model's name"));
  GLM_TRY(check_utf8(args.system, "the system message"));
  OptionSet environment(modelfiles::parameter_table());
  GLM_TRY(environment.read_environment());
  for (const std::string name : {"device", "kv_cache_type"}) {
    if (environment.origin(name) != OptionOrigin::environment) continue;
    asking.options[name] = *environment.text(name);
  }
  for (const auto& [name, values] : args.options) {
    for (const std::string& value : values) {
      GLM_TRY(check_utf8(value, "an option"));
      GLM_TRY(set_option(asking.options, name, value, flag_for(name)));
    }
  }
  return asking;
}

Status pull_if_absent(Client& client, const std::string& model) {
  const Result<Json> shown = client.post("/api/show", {{"model", model}});
  if (shown.ok()) return Ok{};
  if (shown.error().code != Errc::not_found) return shown.error();
  Status pulled = pull_model(client, model, Format::text);
  if (pulled.ok()) return pulled;
  // A short name that nobody knows is no failed pull, it is a wrong name.
  const auto ref = registry::ModelRef::parse(model);
  const bool unknown = pulled.error().code == Errc::not_found && ref.ok() && !ref->is_repository();
  return std::move(pulled).with((unknown ? "run " : "pull ") + model);
}

Status answer_once(Client& client, const Asking& asking, const std::string& prompt,
                   const Args& args) {
  Json body = request_for(asking);
  body["prompt"] = prompt;
  if (!asking.system.empty()) body["system"] = asking.system;
  AnswerPrinter printer(asking.thinking);
  Answer answer;
  Status done = receive(client, "/api/generate", body, args.json ? nullptr : &printer, answer);
  if (!args.json) GLM_TRY(printer.finish());
  GLM_TRY(std::move(done));
  if (!args.json) {
    say(cut_off_note(
        asking, answer,
        {.before_text = "allow more with --num-predict or --num-ctx, or say --no-think",
         .within_text = "allow more with --num-ctx or --num-predict"}));
  }
  if (args.verbose) say(statistics_text(answer.last));
  if (!args.json) return Ok{};
  Json whole = answer.last;
  whole["response"] = answer.content;
  if (!answer.thinking.empty()) whole["thinking"] = answer.thinking;
  return print_json(whole);
}

// "--think false What is …": a flag that may stand alone has its value behind "=".
void warn_of_level(const Args& args) {
  if (args.think != "true" || args.prompt.size() < 2) return;
  const std::string& word = args.prompt.front();
  if (std::find(kThinkLevels.begin(), kThinkLevels.end(), word) == kThinkLevels.end()) return;
  warn(fmt::format("'{0}' is the prompt's first word here; the flag is --think={0}", word));
}

Status run(Cli& cli, const Args& args) {
  warn_of_level(args);
  const Asking asking = GLM_TRY(asking_from(args));
  const bool interactive = args.prompt.empty() && stdin_is_terminal();
  if (interactive && args.json) {
    return make_error(Errc::invalid_argument,
                      "--json is for one answer: give a prompt, or pipe one in");
  }
  const std::string prompt = interactive ? std::string() : GLM_TRY(whole_prompt(args));
  GLM_TRY(refuse_folder(args.model));
  Client client = GLM_TRY(connect(cli));
  GLM_TRY(pull_if_absent(client, args.model));
  if (!interactive) return answer_once(client, asking, prompt, args);
  // Whoever is told that it is ready need not wait, nor learn then that it has no room.
  Json load = request_for(asking);
  load.erase("keep_alive");  // of 0 it would end what is loaded
  Answer loaded;
  GLM_TRY(receive(client, "/api/generate", load, nullptr, loaded));
  return chat(client, asking, args.verbose ? Verbosity::statistics : Verbosity::quiet);
}

// One flag per option of a run, from the same table as PARAMETER.
void add_options(CLI::App& command, const std::shared_ptr<Args>& args) {
  for (const OptionRow& row : modelfiles::parameter_table().rows()) {
    std::vector<std::string>* const values = &args->options[row.name];
    CLI::Option* option = nullptr;
    if (row.type == OptionType::texts) {
      option = command.add_option(flag_for(row.name), *values, std::string(row.help));
      option->allow_extra_args(false);
    } else {
      const auto keep = [args, values](const std::string& value) { *values = {value}; };
      option =
          command.add_option_function<std::string>(flag_for(row.name), keep, std::string(row.help));
    }
    option->type_name(row.choices.empty() ? "VALUE" : std::string(row.choices));
    option->group("Options of the run");
  }
}

}  // namespace

void add_run(CLI::App& app, Cli& cli) {
  auto args = std::make_shared<Args>();
  CLI::App* command =
      add_command(app, "run", "Ask a model, or talk to it; pulls it first if it is not here");
  command->add_option("model", args->model, "name[:tag] or org/name")->required();
  command->add_option(
      "prompt", args->prompt,
      "The question; without one, and at a terminal, a conversation begins. What is "
      "piped in stands before it");
  command->add_option("--system", args->system, "What the model is told first")->type_name("TEXT");
  command
      ->add_option("--keepalive", args->keep_alive,
                   "How long the model stays loaded afterwards: 5m, 1h, 0, -1 for ever")
      ->type_name("DURATION");
  CLI::Option* think = command
                           ->add_flag("--think", args->think,
                                      "Let it think first: true (alone the same), false, or low, "
                                      "medium, high, max for models with levels")
                           ->check(CLI::IsMember(
                               std::vector<std::string>(kThinkLevels.begin(), kThinkLevels.end())));
  command
      ->add_flag_callback(
          "--no-think", [args] { args->think = "false"; }, "As --think=false")
      ->excludes(think);
  command->add_flag("--hide-thinking,--hidethinking", args->hide_thinking,
                    "Do not show what it thinks");
  command->add_flag("--verbose", args->verbose, "Print counts and rates to standard error");
  command->add_flag("--json", args->json, "Print one JSON object when the answer is complete");
  add_options(*command, args);
  command->callback([&cli, args] { cli.run = [&cli, args] { return run(cli, *args); }; });
}

}  // namespace glm
