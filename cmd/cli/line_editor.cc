#include "cmd/cli/line_editor.h"

#include <histedit.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cwchar>
#include <utility>

#include "base/handle.h"
#include "cmd/cli/pasted_text.h"
#include "cmd/cli/terminal.h"

namespace glm {
namespace {

constexpr int kHistoryLinesMax = 1000;
constexpr char kInterrupt = '\x03';

struct HistoryTraits {
  using Raw = ::History*;
  static constexpr Raw kEmpty = nullptr;
  static void close(Raw raw) { ::history_end(raw); }
};
using LineHistory = Handle<HistoryTraits>;

struct EditLineTraits {
  using Raw = ::EditLine*;
  static constexpr Raw kEmpty = nullptr;
  static void close(Raw raw) { ::el_end(raw); }
};
using Editor = Handle<EditLineTraits>;

}  // namespace

struct LineEditor::Impl {
  std::filesystem::path history_file;
  LineHistory history;
  Editor editor;
  std::string prompt;
  bool interrupted = false;
  PastedText pasted;
  std::string keys;  // read, and not taken yet

  static Impl* of(::EditLine* editor) {
    void* data = nullptr;
    ::el_get(editor, EL_CLIENTDATA, &data);
    return static_cast<Impl*>(data);
  }
  static char* show_prompt(::EditLine* editor) { return of(editor)->prompt.data(); }

  static int read_character(::EditLine* editor, wchar_t* character);
  int read_key(char& byte);

  void load_history();
  void remember(const char* line);
};

// The next byte of keys and of what is pasted; 0 at the end, -1 with errno.
int LineEditor::Impl::read_key(char& byte) {
  while (keys.empty()) {
    const ssize_t got = ::read(STDIN_FILENO, &byte, 1);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return static_cast<int>(got);
    keys = pasted.push(byte);
  }
  byte = keys.front();
  keys.erase(0, 1);
  return 1;
}

// One character from the terminal; Ctrl-C ends the line like Return. (Binding a function or a macro
// to the key would do too, but libedit never frees those.)
int LineEditor::Impl::read_character(::EditLine* editor, wchar_t* character) {
  std::mbstate_t state{};
  while (true) {
    char byte = 0;
    if (const int got = of(editor)->read_key(byte); got <= 0) return got;
    if (byte == kInterrupt) {
      of(editor)->interrupted = true;
      *character = L'\n';
      return 1;
    }
    const std::size_t read = std::mbrtowc(character, &byte, 1, &state);
    if (read == static_cast<std::size_t>(-2)) continue;  // the character is not complete yet
    if (read != static_cast<std::size_t>(-1)) return 1;
    state = {};  // a byte that begins no character is left out
  }
}

void LineEditor::Impl::load_history() {
  ::HistEvent event;
  ::history(history.get(), &event, H_SETSIZE, kHistoryLinesMax);
  ::history(history.get(), &event, H_SETUNIQUE, 1);
  ::history(history.get(), &event, H_LOAD, history_file.c_str());
}

void LineEditor::Impl::remember(const char* line) {
  ::HistEvent event;
  ::history(history.get(), &event, H_ENTER, line);
  const mode_t before = ::umask(0077);
  ::history(history.get(), &event, H_SAVE, history_file.c_str());
  ::umask(before);
}

LineEditor::LineEditor(std::filesystem::path history_file) : impl_(std::make_unique<Impl>()) {
  impl_->history_file = std::move(history_file);
  impl_->history = LineHistory(::history_init());
  impl_->editor = Editor(::el_init("glm", stdin, stderr, stderr));
  ::EditLine* const editor = impl_->editor.get();
  if (editor == nullptr || !impl_->history) return;  // read() answers "end"
  ::el_set(editor, EL_CLIENTDATA, impl_.get());
  ::el_set(editor, EL_PROMPT, &Impl::show_prompt);
  ::el_set(editor, EL_EDITOR, "emacs");
  ::el_set(editor, EL_SIGNAL, 1);  // redraws after a resize
  ::el_set(editor, EL_HIST, &::history, impl_->history.get());
  // While a line is edited Ctrl-C is a key: libedit would swallow the signal.
  ::el_set(editor, EL_SETTY, "-d", "-isig", nullptr);
  ::el_set(editor, EL_GETCFN, &Impl::read_character);
  ::el_set(editor, EL_BIND, "^R", "em-inc-search-prev", nullptr);
  ::el_set(editor, EL_BIND, "^I", "ed-insert", nullptr);  // code that is pasted has tabs
  impl_->load_history();
}

LineEditor::~LineEditor() = default;

LineEditor::Input LineEditor::read(std::string_view prompt) {
  if (!impl_->editor || !impl_->history) return {Kind::end, {}};
  impl_->prompt = prompt;
  // Before the prompt is seen: a Ctrl-D that comes earlier than this would be the terminal's.
  ::el_set(impl_->editor.get(), EL_PREP_TERM, 1);
  impl_->interrupted = false;
  int length = 0;
  say(PastedText::kOn);
  const char* const line = ::el_gets(impl_->editor.get(), &length);
  say(PastedText::kOff);
  if (impl_->interrupted) return {Kind::interrupted, {}};
  if (line == nullptr || length <= 0) return {Kind::end, {}};
  std::string text(line);
  if (text.ends_with('\n')) text.pop_back();
  if (text.find_first_not_of(" \t") != std::string::npos) impl_->remember(text.c_str());
  return {Kind::line, PastedText::newlines_of(text)};
}

}  // namespace glm
