// The table of subcommands: help, lookup and "did you mean" come from it.
#pragma once

#include <span>
#include <string_view>

namespace CLI {
class App;
}

namespace glm {

struct Cli;

struct Command {
  std::string_view name;
  void (*add)(CLI::App& app, Cli& cli);  // declares flags; sets cli.run when the command is chosen
};

std::span<const Command> commands();

}  // namespace glm
