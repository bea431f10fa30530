// The table of subcommands: help, lookup and "did you mean" come from it.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace CLI {
class App;
}

namespace glm {

struct Cli;

struct Command {
  std::string_view name;
  void (*add)(CLI::App& app, Cli& cli);  // declares flags; sets cli.run when the command is chosen
  std::string_view elsewhere = {};       // what other programs call it, for "did you mean": "a b"
};

std::span<const Command> commands();

// "; did you mean 'rm'?" for a word that is no command, or nothing.
std::string command_hint(std::string_view word);

}  // namespace glm
