// Asking a model something: what the flags say about every request, and receiving the answer.
#pragma once

#include <array>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/result.h"
#include "cmd/cli/answer_printer.h"
#include "cmd/cli/client.h"

namespace glm {

// What `think` may be: whether, or how much.
constexpr std::array<std::string_view, 6> kThinkLevels = {"true",   "false", "low",
                                                          "medium", "high",  "max"};

struct Asking {
  std::string model;
  std::string system;             // empty: the Modelfile's
  std::string think;              // true, false, a level; empty: the model's own way
  std::string keep_alive;         // empty: the daemon's
  Json options = Json::object();  // by the names of modelfiles/parameters.h
  ThinkingView thinking = ThinkingView::shown;
};

// Checks the value and puts it into options; `stop` adds up. `where` says who set it:
// "--top-p: top_p wants a number in [0, 1], got '7'".
Status set_option(Json& options, std::string_view name, std::string_view text,
                  std::string_view where);

// {"model", "stream": true, …}: what every request has.
Json request_for(const Asking& asking);

struct Answer {
  std::string content;
  std::string thinking;
  Json last = Json::object();  // the object with "done": true and the counts
};

// Streams POST path into `answer`, and to the printer unless it is null. What has arrived stays in
// `answer` when it fails. Errc::cancelled: Ctrl-C.
Status receive(Client& client, std::string_view path, const Json& body, AnswerPrinter* printer,
               Answer& answer);

// What to do about an answer that a bound of tokens has ended.
struct CutOffAdvice {
  std::string_view before_text;  // where there is nothing to read yet
  std::string_view within_text;
};

// One line for such an answer; empty for all others, and where there is something to read and
// asking.options has the bound.
std::string cut_off_note(const Asking& asking, const Answer& answer, const CutOffAdvice& advice);

}  // namespace glm
