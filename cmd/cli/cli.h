// What every subcommand gets: the global flags, and the way to the daemon.
//
// A subcommand is one file: it declares its flags in add_<name>() and sets `run`, which main calls.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "cmd/cli/client.h"

namespace CLI {
class App;
}

namespace glm {

struct Cli {
  std::string host;             // --host; empty when not given
  std::function<Status()> run;  // the chosen subcommand
};

// A subcommand that takes the global flags too and ends its help with the exit codes.
CLI::App* add_command(CLI::App& app, std::string_view name, std::string_view help);

// How a command prints what it found out.
enum class Format { text, json };

// A client of the daemon, which is started if it is this machine's and does not run.
Result<Client> connect(const Cli& cli);

// The same without starting one: nullopt when nobody answers.
Result<std::optional<Client>> connect_if_running(const Cli& cli);

// Prints one JSON value as one line.
Status print_json(const Json& json);

// A field of an answer; the empty string or 0 when it is missing or of another type.
std::string text_field(const Json& json, std::string_view field);
std::int64_t integer_field(const Json& json, std::string_view field);

void add_bench(CLI::App& app, Cli& cli);
void add_cp(CLI::App& app, Cli& cli);
void add_detokenize(CLI::App& app, Cli& cli);
void add_list(CLI::App& app, Cli& cli);
void add_ps(CLI::App& app, Cli& cli);
void add_pull(CLI::App& app, Cli& cli);
void add_rm(CLI::App& app, Cli& cli);
void add_run(CLI::App& app, Cli& cli);
void add_serve(CLI::App& app, Cli& cli);
void add_show(CLI::App& app, Cli& cli);
void add_stop(CLI::App& app, Cli& cli);
void add_template(CLI::App& app, Cli& cli);
void add_tokenize(CLI::App& app, Cli& cli);
void add_version(CLI::App& app, Cli& cli);

}  // namespace glm
