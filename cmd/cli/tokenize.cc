// glm tokenize [MODEL | --file tokenizer.json] — the token ids of the text on standard input. Works
// without a daemon.
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "cmd/cli/cli.h"
#include "cmd/cli/local_model.h"
#include "cmd/cli/standard_input.h"
#include "cmd/cli/terminal.h"

namespace glm {
namespace {

constexpr std::size_t kInputMaxBytes = 256u << 20;

struct Args {
  std::string model;
  std::string file;
  bool no_special = false;
  bool json = false;
};

Status tokenize(const Args& args) {
  GLM_TRY(check_one_source(args.model, args.file, "--file tokenizer.json"));
  const runner::Tokenizer tokenizer = GLM_TRY(read_tokenizer(args.model, args.file));
  if (stdin_is_terminal()) say("glm: reads the text from standard input, until Ctrl-D\n");
  const std::string text = GLM_TRY(read_standard_input(kInputMaxBytes));
  GLM_TRY(check_utf8(text, "standard input"));
  runner::EncodeOptions options;
  options.specials = args.no_special ? runner::EncodeOptions::Specials::omit
                                     : runner::EncodeOptions::Specials::add;
  const std::vector<std::int32_t> ids = tokenizer.encode(text, options);
  return print(args.json ? fmt::format("[{}]\n", fmt::join(ids, ", "))
                         : fmt::format("{}\n", fmt::join(ids, " ")));
}

}  // namespace

void add_tokenize(CLI::App& app, Cli& cli) {
  auto args = std::make_shared<Args>();
  CLI::App* command = add_command(app, "tokenize", "Print the token ids of standard input");
  command->add_option("model", args->model, "A model that is here, or a folder with its files");
  command->add_option("--file", args->file, "A tokenizer in place of a model's")
      ->type_name("tokenizer.json");
  command->add_flag("--no-special", args->no_special,
                    "Do not add the tokens that stand around a text");
  command->add_flag("--json", args->json, "Print a JSON list");
  command->callback([&cli, args] { cli.run = [args] { return tokenize(*args); }; });
}

}  // namespace glm
