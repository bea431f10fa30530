#include "cmd/cli/tokenizer_input.h"

#include <CLI/CLI.hpp>
#include <utility>

#include "cmd/cli/local_model.h"
#include "cmd/cli/standard_input.h"
#include "cmd/cli/terminal.h"

namespace glm {
namespace {

constexpr std::size_t kInputMaxBytes = 256u << 20;

}  // namespace

void add_tokenizer_options(CLI::App& command, TokenizerArgs& args) {
  command.add_option("model", args.model, "A model that is here, or a folder with its files");
  command.add_option("--file", args.file, "A tokenizer in place of a model's")
      ->type_name("tokenizer.json");
}

Result<TokenizerInput> read_tokenizer_input(const TokenizerArgs& args, std::string_view what) {
  GLM_TRY(check_one_source(args.model, args.file, "--file tokenizer.json"));
  runner::Tokenizer tokenizer = GLM_TRY(read_tokenizer(args.model, args.file));
  if (stdin_is_terminal())
    say(fmt::format("glm: reads {} from standard input, until Ctrl-D\n", what));
  std::string text = GLM_TRY(read_standard_input(kInputMaxBytes));
  GLM_TRY(check_utf8(text, "standard input"));
  return TokenizerInput{std::move(tokenizer), std::move(text)};
}

}  // namespace glm
