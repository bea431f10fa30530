// glm tokenize [MODEL | --file tokenizer.json] — the token ids of the text on standard input. Works
// without a daemon.
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "cmd/cli/cli.h"
#include "cmd/cli/terminal.h"
#include "cmd/cli/tokenizer_input.h"

namespace glm {
namespace {

Status tokenize(const TokenizerArgs& args) {
  const TokenizerInput input = GLM_TRY(read_tokenizer_input(args, "the text"));
  runner::EncodeOptions options;
  options.specials = args.no_special ? runner::EncodeOptions::Specials::omit
                                     : runner::EncodeOptions::Specials::add;
  const std::vector<std::int32_t> ids = input.tokenizer.encode(input.text, options);
  return print(args.json ? fmt::format("[{}]\n", fmt::join(ids, ", "))
                         : fmt::format("{}\n", fmt::join(ids, " ")));
}

}  // namespace

void add_tokenize(CLI::App& app, Cli& cli) {
  auto args = std::make_shared<TokenizerArgs>();
  CLI::App* command = add_command(app, "tokenize", "Print the token ids of standard input");
  add_tokenizer_options(*command, *args);
  command->add_flag("--no-special", args->no_special,
                    "Do not add the tokens that stand around a text");
  command->add_flag("--json", args->json, "Print a JSON list");
  command->callback([&cli, args] { cli.run = [args] { return tokenize(*args); }; });
}

}  // namespace glm
