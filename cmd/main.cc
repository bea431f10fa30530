// The program: parses, runs the chosen subcommand, prints `glm: <message>` if it failed and exits
// with the code for its kind of error (cmd/outcome.cc).
#include <CLI/CLI.hpp>
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <exception>
#include <string>
#include <string_view>
#include <vector>

#include "base/spelling.h"
#include "cmd/cli/cli.h"
#include "cmd/cli/terminal.h"
#include "cmd/commands.h"
#include "cmd/outcome.h"
#include "cmd/version.h"
#include "runner/process.h"

namespace glm {
namespace {

int report(const Error& error) {
  // A person who pressed Ctrl-C knows.
  if (error.code != Errc::cancelled) {
    fmt::print(stderr, "glm: {}\n", for_terminal(error.message));
  }
  return outcome(error.code).exit_code;
}

// The long flags that a command understands, the global ones included.
std::vector<std::string> flags_of(const CLI::App& app, const CLI::App& command) {
  std::vector<std::string> flags;
  for (const CLI::App* part : {&app, &command}) {
    for (const CLI::Option* option : part->get_options()) {
      for (const std::string& name : option->get_lnames()) flags.push_back("--" + name);
    }
  }
  return flags;
}

Error unknown_command(const std::string& word) {
  return make_error(Errc::invalid_argument,
                    "there is no command '{}'{}\n  'glm --help' lists the commands", word,
                    command_hint(word));
}

// CLI11 writes sentences with capitals and full stops, and knows no "did you mean".
Error usage_error(const CLI::App& app, const CLI::ParseError& failure) {
  const std::vector<CLI::App*> chosen = app.get_subcommands();
  const std::vector<std::string> extras = app.remaining(true);
  if (chosen.empty() && !extras.empty() && !extras[0].starts_with('-')) {
    return unknown_command(extras[0]);
  }
  const std::string help =
      chosen.empty() ? "glm --help" : fmt::format("glm {} --help", chosen[0]->get_name());
  const auto unknown = std::find_if(extras.begin(), extras.end(),
                                    [](const std::string& word) { return word.starts_with("--"); });
  if (unknown != extras.end()) {
    const std::string flag = unknown->substr(0, unknown->find('='));
    const std::vector<std::string> flags = flags_of(app, chosen.empty() ? app : *chosen[0]);
    const std::vector<std::string_view> names(flags.begin(), flags.end());
    if (std::find(flags.begin(), flags.end(), flag) != flags.end()) {
      return make_error(Errc::invalid_argument,
                        "'{}' belongs behind the command\n  '{}' lists the flags", flag, help);
    }
    return make_error(Errc::invalid_argument, "there is no flag '{}'{}\n  '{}' lists the flags",
                      flag, did_you_mean(flag, names), help);
  }
  std::string message = failure.what();
  while (message.ends_with('.') || message.ends_with('\n')) message.pop_back();
  const std::string command = chosen.empty() ? "" : chosen[0]->get_name();
  if (!extras.empty() && (command == "tokenize" || command == "detokenize")) {
    message = fmt::format("'{}' was not expected: {} reads its text from standard input", extras[0],
                          command);
  }
  return make_error(Errc::invalid_argument, "{}\n  '{}' shows what is possible", message, help);
}

// Without the program's name, last first, as CLI11 takes them; `glm help pull` is `glm pull
// --help`.
std::vector<std::string> parsed_words(int argc, char** argv) {
  std::vector<std::string> words(argv + 1, argv + argc);
  if (words[0] == "help") {
    words.erase(words.begin());
    words.emplace_back("--help");
  }
  std::reverse(words.begin(), words.end());
  return words;
}

int run(int argc, char** argv) {
  CLI::App app("Pulls GLM checkpoints from Hugging Face and runs them, here.", "glm");
  Cli cli;
  app.set_help_flag("-h,--help", "Print this help");
  app.set_version_flag("-v,--version", fmt::format("glm {}", kVersion), "Print the version");
  app.add_option("--host", cli.host, "Address of the daemon; $GLM_HOST, or 127.0.0.1:11435")
      ->type_name("HOST[:PORT]");
  app.require_subcommand(1);
  app.footer("'glm COMMAND --help' explains a command.\n\n" + exit_codes_help());
  for (const Command& command : commands()) command.add(app, cli);
  if (argc < 2) {
    fmt::print(stderr, "{}", app.help());
    return outcome(Errc::invalid_argument).exit_code;
  }
  // CLI11 would print the help of everything.
  if (argc > 2 && std::string_view(argv[1]) == "help" && argv[2][0] != '-') {
    const auto meant = [&](CLI::App* command) { return command->check_name(argv[2]); };
    if (app.get_subcommands(meant).empty()) return report(unknown_command(argv[2]));
  }
  try {
    app.parse(parsed_words(argc, argv));
  } catch (const CLI::ParseError& failure) {
    if (failure.get_exit_code() == 0) return app.exit(failure);  // --help, --version
    return report(usage_error(app, failure));
  }
  const Status done = cli.run();
  return done.ok() ? 0 : report(done.error());
}

}  // namespace
}  // namespace glm

int main(int argc, char** argv) {
  // Not for people: the daemon starts one for every loaded model.
  if (argc > 1 && std::string_view(argv[1]) == "runner") {
    return glm::runner::process_main(argc - 1, argv + 1);
  }
  // A reader that went away is an error of write(), answered in terminal.cc.
  (void)std::signal(SIGPIPE, SIG_IGN);
  try {
    return glm::run(argc, argv);
  } catch (const std::exception& failure) {
    fmt::print(stderr, "glm: a bug of ours: {}\n", failure.what());
    return 1;
  }
}
