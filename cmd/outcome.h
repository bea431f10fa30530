// What an error means outside the program: the one table Errc → HTTP status → exit code.
//
// Documented for users in docs/cli.md and at the end of every --help.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace glm {

struct Outcome {
  Errc code;
  int http_status;
  int exit_code;
  std::string_view meaning;  // of the exit code, for people
};

// Every code once, by exit code.
std::span<const Outcome> outcomes();

const Outcome& outcome(Errc code);

// The way back, for clients: from the "code" field of an error body, or from the status alone when
// the answer is not ours.
std::optional<Errc> errc_from_name(std::string_view name);
Errc errc_from_http_status(int status);

// The error that a program of ours has exited with; nullopt for 0 and codes that none has.
std::optional<Errc> errc_from_exit_code(int exit_code);

// "exit codes: 0 done, 2 …", for the end of a help text; lines of at most 79 characters.
std::string exit_codes_help();

}  // namespace glm
