// glm template [MODEL | --file TEMPLATE.jinja] --messages FILE.json — the prompt that a chat
// template makes of messages: exactly what transformers' apply_chat_template(tokenize=False)
// returns. Works without a daemon.
#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>

#include "base/paths.h"
#include "cmd/api/json_error.h"
#include "cmd/cli/cli.h"
#include "cmd/cli/local_model.h"
#include "cmd/cli/standard_input.h"
#include "cmd/cli/terminal.h"
#include "cmd/daemon/prompt_files.h"
#include "runner/text/bounded_json.h"
#include "runner/text/chat_template.h"

namespace glm {
namespace {

using OrderedJson = nlohmann::ordered_json;

constexpr std::size_t kInputMaxBytes = 64u << 20;

struct Args {
  std::string model;
  std::string file;
  std::string messages;
  std::string tools;
  std::string kwargs;
  std::optional<std::string> bos_token, eos_token;
  bool no_generation_prompt = false;
};

Result<OrderedJson> parse_json(const std::string& text, const std::string& what) {
  GLM_TRY(check_utf8(text, what));
  OrderedJson json = runner::parse_bounded_json(text);
  if (json.is_discarded()) {
    return make_error(
        Errc::invalid_argument, "{}: not valid JSON: {}", what,
        OrderedJson::accept(text) ? "it is nested too deeply" : api::json_error(text));
  }
  return json;
}

// "-" is standard input.
Result<OrderedJson> read_json(const std::string& path, const std::string& flag) {
  const std::string text =
      GLM_TRY((path == "-" ? read_standard_input(kInputMaxBytes) : read_file(path, kInputMaxBytes))
                  .with(flag));
  return parse_json(text, path == "-" ? flag + ": standard input" : flag + ": " + path);
}

struct Source {
  std::string name;
  daemon::ChatTemplates templates;
  OrderedJson special_tokens = OrderedJson::object();
};

Result<Source> find_source(const Args& args) {
  if (args.model.empty()) {
    std::string text = GLM_TRY(read_file(args.file));
    return Source{args.file, {.standard = std::move(text), .with_tools = {}}};
  }
  const LocalModel model = GLM_TRY(find_local_model(args.model));
  Source source{model.name, {}};
  source.templates =
      GLM_TRY(daemon::find_chat_templates(model.files, model.modelfile).with(model.name));
  source.special_tokens = GLM_TRY(daemon::special_tokens(model.files).with(model.name));
  if (source.templates.standard.empty() && source.templates.with_tools.empty()) {
    return make_error(Errc::unsupported, "{} has no chat template; give one with --file",
                      model.name);
  }
  return source;
}

Result<OrderedJson> context_of(const Args& args, OrderedJson variables) {
  if (args.messages == "-" && args.tools == "-") {
    return make_error(Errc::invalid_argument,
                      "--messages and --tools cannot both be standard input");
  }
  if (args.bos_token) variables["bos_token"] = *args.bos_token;
  if (args.eos_token) variables["eos_token"] = *args.eos_token;
  if (!args.kwargs.empty()) {
    const OrderedJson kwargs = GLM_TRY(parse_json(args.kwargs, "--kwargs"));
    if (!kwargs.is_object()) {
      return make_error(Errc::invalid_argument, "--kwargs wants a JSON object, got {}",
                        kwargs.type_name());
    }
    variables.update(kwargs);
  }
  OrderedJson messages = GLM_TRY(read_json(args.messages, "--messages"));
  if (!messages.is_array() || messages.empty()) {
    return make_error(Errc::invalid_argument, "--messages wants a JSON list of messages, got {}",
                      messages.is_array() ? "an empty one" : messages.type_name());
  }
  variables["messages"] = std::move(messages);
  OrderedJson tools;
  if (!args.tools.empty()) {
    tools = GLM_TRY(read_json(args.tools, "--tools"));
    if (!tools.is_array() && !tools.is_null()) {
      return make_error(Errc::invalid_argument, "--tools wants a JSON list of tools, got {}",
                        tools.type_name());
    }
  }
  variables["tools"] = std::move(tools);
  if (!variables.contains("documents")) variables["documents"] = nullptr;
  variables["add_generation_prompt"] = !args.no_generation_prompt;
  return variables;
}

Status render(const Args& args) {
  GLM_TRY(check_one_source(args.model, args.file, "--file TEMPLATE.jinja"));
  Source source = GLM_TRY(find_source(args));
  const OrderedJson context = GLM_TRY(context_of(args, std::move(source.special_tokens)));
  auto parsed =
      runner::ChatTemplate::parse(source.templates.choose(context["tools"])).with(source.name);
  if (!parsed.ok()) {
    const bool published = !args.model.empty() && parsed.error().code == Errc::invalid_argument;
    return Error{published ? Errc::corrupt : parsed.error().code, parsed.error().message};
  }
  const std::string prompt = GLM_TRY(parsed->render(context).with(source.name));
  return print(stdout_is_terminal() ? for_terminal(prompt) : prompt);
}

}  // namespace

void add_template(CLI::App& app, Cli& cli) {
  auto args = std::make_shared<Args>();
  CLI::App* command =
      add_command(app, "template", "Print the prompt that a chat template makes of messages");
  command->add_option("model", args->model, "A model that is here, or a folder with its files");
  command->add_option("--file", args->file, "A Jinja template in place of a model's")
      ->type_name("TEMPLATE.jinja");
  command->add_option("--messages", args->messages, "A list of messages; '-' for standard input")
      ->type_name("FILE.json")
      ->required();
  command->add_option("--tools", args->tools, "A list of tools")->type_name("FILE.json");
  command
      ->add_option("--kwargs", args->kwargs, "More variables, such as {\"enable_thinking\": false}")
      ->type_name("JSON");
  command->add_option("--bos-token", args->bos_token, "The template's bos_token")->type_name("S");
  command->add_option("--eos-token", args->eos_token, "The template's eos_token")->type_name("S");
  command->add_flag("--no-generation-prompt", args->no_generation_prompt,
                    "Do not begin the answer");
  command->callback([&cli, args] { cli.run = [args] { return render(*args); }; });
}

}  // namespace glm
