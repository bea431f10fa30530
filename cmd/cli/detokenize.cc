// glm detokenize [MODEL | --file tokenizer.json] — the text of the token ids on standard input.
// Works without a daemon.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

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

// Numbers with blanks or commas between them, in brackets or not: what tokenize prints.
Result<std::vector<std::int32_t>> parse_ids(std::string_view text, std::int32_t ids_end) {
  constexpr std::string_view kBetween = " \t\r\n,[]";
  std::vector<std::int32_t> ids;
  for (std::size_t at = text.find_first_not_of(kBetween); at != std::string_view::npos;
       at = text.find_first_not_of(kBetween, at)) {
    const std::string_view word = text.substr(at, text.find_first_of(kBetween, at) - at);
    std::int32_t id = -1;
    const auto read = std::from_chars(word.data(), word.data() + word.size(), id);
    if (read.ec != std::errc() || read.ptr != word.data() + word.size()) {
      return make_error(Errc::invalid_argument, "standard input: wanted token ids, got '{:.40}'",
                        word);
    }
    if (id < 0 || id >= ids_end) {
      return make_error(Errc::invalid_argument,
                        "standard input: there is no token {}; ids end at {}", id, ids_end - 1);
    }
    ids.push_back(id);
    at += word.size();
  }
  return ids;
}

Status detokenize(const Args& args) {
  GLM_TRY(check_one_source(args.model, args.file, "--file tokenizer.json"));
  const runner::Tokenizer tokenizer = GLM_TRY(read_tokenizer(args.model, args.file));
  if (stdin_is_terminal()) say("glm: reads token ids from standard input, until Ctrl-D\n");
  const std::string input = GLM_TRY(read_standard_input(kInputMaxBytes));
  GLM_TRY(check_utf8(input, "standard input"));
  const std::vector<std::int32_t> ids = GLM_TRY(parse_ids(input, tokenizer.size()));
  runner::DecodeOptions options;
  if (args.no_special) options.specials = runner::DecodeOptions::Specials::skip;
  const std::string text = tokenizer.decode(ids, options);
  if (args.json) return print_json(text);
  return print(stdout_is_terminal() ? for_terminal(text) : text);
}

}  // namespace

void add_detokenize(CLI::App& app, Cli& cli) {
  auto args = std::make_shared<Args>();
  CLI::App* command = add_command(app, "detokenize", "Print the text of token ids");
  command->add_option("model", args->model, "A model that is here, or a folder with its files");
  command->add_option("--file", args->file, "A tokenizer in place of a model's")
      ->type_name("tokenizer.json");
  command->add_flag("--no-special", args->no_special, "Leave special tokens out of the text");
  command->add_flag("--json", args->json, "Print a JSON string");
  command->callback([&cli, args] { cli.run = [args] { return detokenize(*args); }; });
}

}  // namespace glm
