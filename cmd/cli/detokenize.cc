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

#include "cmd/api/json_error.h"
#include "cmd/cli/cli.h"
#include "cmd/cli/terminal.h"
#include "cmd/cli/tokenizer_input.h"

namespace glm {
namespace {

// Numbers with blanks or commas between them, in the brackets of a JSON list or without any: what
// tokenize prints.
Result<std::vector<std::int32_t>> parse_ids(std::string_view text, std::int32_t ids_end) {
  constexpr std::string_view kBetween = " \t\r\n,[]";
  if (text.find_first_of("[]") != std::string_view::npos) {
    const Json json = Json::parse(text, nullptr, false);
    if (json.is_discarded()) {
      return make_error(Errc::invalid_argument, "standard input is no JSON list of token ids: {}",
                        api::json_error(text));
    }
    if (!json.is_array() || std::any_of(json.begin(), json.end(),
                                        [](const Json& item) { return item.is_structured(); })) {
      return make_error(Errc::invalid_argument,
                        "standard input: wanted a JSON list of token ids, got another JSON");
    }
  }
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

Status detokenize(const TokenizerArgs& args) {
  const TokenizerInput input = GLM_TRY(read_tokenizer_input(args, "token ids"));
  const std::vector<std::int32_t> ids = GLM_TRY(parse_ids(input.text, input.tokenizer.size()));
  runner::DecodeOptions options;
  if (args.no_special) options.specials = runner::DecodeOptions::Specials::skip;
  const std::string text = input.tokenizer.decode(ids, options);
  if (args.json) return print_json(text);
  return print(stdout_is_terminal() ? for_terminal(text) : text);
}

}  // namespace

void add_detokenize(CLI::App& app, Cli& cli) {
  auto args = std::make_shared<TokenizerArgs>();
  CLI::App* command = add_command(app, "detokenize", "Print the text of token ids");
  add_tokenizer_options(*command, *args);
  command->add_flag("--no-special", args->no_special, "Leave special tokens out of the text");
  command->add_flag("--json", args->json, "Print a JSON string");
  command->callback([&cli, args] { cli.run = [args] { return detokenize(*args); }; });
}

}  // namespace glm
