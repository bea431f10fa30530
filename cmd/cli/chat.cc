#include "cmd/cli/chat.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <csignal>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/paths.h"
#include "base/spelling.h"
#include "cmd/cli/cli.h"
#include "cmd/cli/daemon_start.h"
#include "cmd/cli/line_editor.h"
#include "cmd/cli/model_page.h"
#include "cmd/cli/statistics.h"
#include "cmd/cli/terminal.h"
#include "modelfiles/parameters.h"

namespace glm {
namespace {

constexpr std::string_view kTriple = "\"\"\"";

struct Session {
  Client& client;
  Asking asking;
  Verbosity verbosity;
  Json messages = Json::array();  // without the system message
  bool over = false;
};

// The first word, and what follows it.
std::pair<std::string_view, std::string_view> split(std::string_view text) {
  const std::size_t begin = std::min(text.find_first_not_of(" \t"), text.size());
  text.remove_prefix(begin);
  const std::size_t end = std::min(text.find_first_of(" \t\n"), text.size());
  std::string_view rest = text.substr(end);
  rest.remove_prefix(std::min(rest.find_first_not_of(" \t"), rest.size()));
  return {text.substr(0, end), rest};
}

// Without the quotes, single or triple, that surround it.
std::string_view unquoted(std::string_view text) {
  const std::size_t end = text.find_last_not_of(" \t\n");
  text = text.substr(0, end == std::string_view::npos ? 0 : end + 1);
  for (const std::string_view quote : {kTriple, std::string_view("\"")}) {
    if (text.size() >= 2 * quote.size() && text.starts_with(quote) && text.ends_with(quote)) {
      return text.substr(quote.size(), text.size() - 2 * quote.size());
    }
  }
  return text;
}

void report(const Error& error) {
  say(fmt::format("glm: {}\n", for_terminal(error.message)));
}

struct Row {
  std::string_view name;
  Status (*run)(Session& session, std::string_view rest);
  std::string_view help;
};

// Looks the first word up in a table and runs the row with what follows.
Status dispatch(std::span<const Row> rows, std::string_view what, Session& session,
                std::string_view text) {
  const auto [word, rest] = split(text);
  std::vector<std::string_view> names;
  for (const Row& row : rows) {
    if (row.name == word) return row.run(session, rest);
    names.push_back(row.name);
  }
  std::string list;
  for (const std::string_view name : names)
    list += fmt::format("{}{}", list.empty() ? "" : ", ", name);
  if (word.empty()) return make_error(Errc::invalid_argument, "{} wants one of {}", what, list);
  const std::string hint = did_you_mean(word, names);
  return make_error(Errc::invalid_argument, "there is no {} '{}'{}", what, word,
                    hint.empty() ? fmt::format("; there is {}", list) : hint);
}

std::string known_parameters() {
  std::string list;
  for (const OptionRow& row : modelfiles::parameter_table().rows()) {
    list += fmt::format("{}{}", list.empty() ? "" : ", ", row.name);
  }
  return list;
}

Status set_parameter(Session& session, std::string_view rest) {
  const auto [name, value] = split(rest);
  if (!name.empty() && modelfiles::parameter_table().find(name) == nullptr) {
    Error unknown = modelfiles::parameter_table().require(name).with("/set parameter").error();
    const bool hinted = unknown.message.ends_with('?');
    if (!hinted) unknown.message += "; there are " + known_parameters();
    return unknown;
  }
  if (name.empty() || value.empty()) {
    return make_error(Errc::invalid_argument,
                      "/set parameter wants a name and a value; there are {}", known_parameters());
  }
  return set_option(session.asking.options, name, unquoted(value), "/set parameter");
}

Status set_think(Session& session, std::string_view level) {
  if (level.empty()) level = "true";
  if (std::find(kThinkLevels.begin(), kThinkLevels.end(), level) == kThinkLevels.end()) {
    return make_error(Errc::invalid_argument, "/set think wants one of {}, got '{}'",
                      fmt::join(kThinkLevels, ", "), for_terminal(level));
  }
  session.asking.think = level;
  return Ok{};
}

Status set_system(Session& session, std::string_view rest) {
  session.asking.system = unquoted(rest);
  return Ok{};
}

constexpr Row kSettings[] = {
    {"parameter", &set_parameter, "NAME VALUE   an option, such as temperature 0.5"},
    {"system", &set_system, "TEXT            what the model is told first"},
    {"think", &set_think,
     "[LEVEL]          let it think before it answers: low, medium, high or max"},
    {"nothink",
     [](Session& session, std::string_view) -> Status {
       session.asking.think = "false";
       return Ok{};
     },
     "               let it answer at once"},
    {"verbose",
     [](Session& session, std::string_view) -> Status {
       session.verbosity = Verbosity::statistics;
       return Ok{};
     },
     "               show counts and rates after an answer"},
    {"quiet",
     [](Session& session, std::string_view) -> Status {
       session.verbosity = Verbosity::quiet;
       return Ok{};
     },
     "                 do not"},
};

Status show(Session& session, std::string_view rest) {
  const Json page = GLM_TRY(session.client.post("/api/show", {{"model", session.asking.model}}));
  const auto [part, ignored] = split(rest);
  std::string set_here;
  if (part == "parameters" && !session.asking.options.empty()) {
    set_here = session.asking.options.dump();
  }
  if (part == "system") set_here = for_terminal(session.asking.system);
  if (!set_here.empty()) say(fmt::format("Set here:\n  {}\n\n", set_here));
  const Result<std::string> own = model_page_part(page, part.empty() ? "info" : part);
  if (own.ok()) {
    say(for_terminal(*own));
  } else if (set_here.empty() || own.error().code != Errc::not_found) {
    return own.error();
  }
  return Ok{};
}

Status help(Session&, std::string_view);

constexpr Row kCommands[] = {
    {"/set",
     [](Session& session, std::string_view rest) {
       return dispatch(kSettings, "/set", session, rest);
     },
     ""},
    {"/show", &show, "[info|license|modelfile|parameters|system|template]"},
    {"/clear",
     [](Session& session, std::string_view) -> Status {
       session.messages = Json::array();
       say("The conversation begins anew.\n");
       return Ok{};
     },
     "forget the conversation so far"},
    {"/bye",
     [](Session& session, std::string_view) -> Status {
       session.over = true;
       return Ok{};
     },
     "leave"},
    {"/exit",
     [](Session& session, std::string_view) -> Status {
       session.over = true;
       return Ok{};
     },
     "leave"},
    {"/help", &help, "this text"},
    {"/?", &help, "this text"},
};

Status help(Session&, std::string_view) {
  std::string text = "Commands:\n";
  for (const Row& row : kSettings) text += fmt::format("  /set {} {}\n", row.name, row.help);
  for (const Row& row : kCommands) {
    if (!row.help.empty()) text += fmt::format("  {:<8} {}\n", row.name, row.help);
  }
  text +=
      "\n\"\"\" begins and ends a message of several lines. Ctrl-C stops an answer, Ctrl-D "
      "leaves.\n";
  say(text);
  return Ok{};
}

Json body_for(const Session& session) {
  Json body = request_for(session.asking);
  Json messages = Json::array();
  if (!session.asking.system.empty()) {
    messages.push_back({{"role", "system"}, {"content", session.asking.system}});
  }
  for (const Json& message : session.messages) messages.push_back(message);
  body["messages"] = std::move(messages);
  return body;
}

Status ask(Session& session, std::string_view message) {
  GLM_TRY(check_utf8(message, "the message"));
  // It may have ended since the last message.
  GLM_TRY(ensure_daemon(session.client.address()));
  session.messages.push_back({{"role", "user"}, {"content", message}});
  const bool first = session.messages.size() == 1;
  AnswerPrinter printer(session.asking.thinking, first ? NoteView::shown : NoteView::hidden);
  Answer answer;
  const Status done = receive(session.client, "/api/chat", body_for(session), &printer, answer);
  GLM_TRY(printer.finish());
  if (!done.ok() && done.error().code != Errc::cancelled) {
    session.messages.erase(session.messages.size() - 1);  // as if it had not been asked
    if (done.error().code != Errc::context_length_exceeded) return done;
    return make_error(done.error().code, "{}; here {}'/set parameter num_ctx N' sets the context",
                      done.error().message, first ? "" : "'/clear' begins anew, and ");
  }
  session.messages.push_back({{"role", "assistant"}, {"content", answer.content}});
  if (!done.ok()) {
    say("\n(stopped)\n");
  } else {
    say(cut_off_note(
        session.asking, answer,
        {.before_text = "allow more with '/set parameter num_predict N' or 'num_ctx N', begin "
                        "anew with '/clear', or say '/set nothink'",
         .within_text = "allow more with '/set parameter num_ctx N' or 'num_predict N', or begin "
                        "anew with '/clear'"}));
    if (session.verbosity == Verbosity::statistics) say(statistics_text(answer.last));
  }
  say("\n");
  return Ok{};
}

// True while the text has an opening """ that waits for its end.
bool is_open(std::string_view text) {
  if (!text.starts_with(kTriple) && !text.starts_with("/set system \"\"\"")) return false;
  std::size_t count = 0;
  for (std::size_t at = text.find(kTriple); at != text.npos; at = text.find(kTriple, at + 3)) {
    ++count;
  }
  return count % 2 == 1;
}

// One message or command, over several lines where """ asks for it.
LineEditor::Input read_message(LineEditor& editor) {
  LineEditor::Input input = editor.read(">>> ");
  while (input.kind == LineEditor::Kind::line && is_open(input.text)) {
    LineEditor::Input more = editor.read("... ");
    if (more.kind != LineEditor::Kind::line) return more;
    input.text += "\n" + more.text;
  }
  return input;
}

Status handle(Session& session, std::string_view text) {
  // Of several lines only a system prompt is a command; a path may begin what was pasted.
  const bool one_line = text.find('\n') == std::string_view::npos;
  if (text.starts_with('/') && (one_line || text.starts_with("/set "))) {
    return dispatch(kCommands, "command", session, text);
  }
  if (text.starts_with(kTriple)) text = unquoted(text);
  if (text.find_first_not_of(" \t\n") == std::string_view::npos) return Ok{};
  return ask(session, text);
}

}  // namespace

Status chat(Client& client, Asking asking, Verbosity verbosity) {
  (void)std::signal(SIGINT, SIG_IGN);  // outside of an answer there is nothing to stop
  use_utf8_locale();
  LineEditor editor(GLM_TRY(glm_home()) / "history");
  Session session{.client = client, .asking = std::move(asking), .verbosity = verbosity};
  say(fmt::format("{} is ready. /? lists the commands, Ctrl-D leaves.\n",
                  for_terminal(session.asking.model)));
  while (!session.over) {
    const LineEditor::Input input = read_message(editor);
    if (input.kind == LineEditor::Kind::end) {
      say("\n");
      break;
    }
    if (input.kind == LineEditor::Kind::interrupted) {
      say("Ctrl-D or /bye leaves.\n");
      continue;
    }
    const Status done = handle(session, input.text);
    if (!done.ok()) report(done.error());
  }
  return Ok{};
}

}  // namespace glm
