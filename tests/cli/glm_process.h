// Runs the real program and collects what it says, for tests.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/fd.h"
#include "base/subprocess.h"

namespace glm::testing {

// A folder under /tmp that goes away with everything in it.
class TempFolder {
 public:
  TempFolder();
  ~TempFolder();
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

struct Ran {
  int exit_code = -1;  // 128 + the signal that killed it
  std::string out, err;
};

struct Invocation {
  std::vector<std::string> arguments;
  std::string input;  // piped into standard input, which is closed then
  std::vector<std::pair<std::string, std::string>> environment;
};

// One program started and not waited for yet.
class RunningGlm {
 public:
  explicit RunningGlm(const Invocation& invocation);
  void signal(int number) { (void)child_.signal(number); }

  // Blocks until its standard output, as far as it came, contains the text or has ended.
  bool wait_for_output(std::string_view text);
  void close_output() { out_ = Fd(); }
  Ran finish();

 private:
  Fd out_, err_;
  Subprocess child_;
  Ran ran_;
};

Ran run_glm(const Invocation& invocation);

// The program at a pseudo-terminal, typed at like a person would.
// False where the system has no pseudo-terminals (a bare chroot): those tests are skipped there.
bool has_terminals();

class GlmAtTerminal {
 public:
  explicit GlmAtTerminal(const Invocation& invocation);
  ~GlmAtTerminal();

  void type(std::string_view keys);

  // Reads until what was read since the last expect() contains the text. False: it ended, or 30 s
  // went by.
  bool expect(std::string_view text);
  const std::string& screen() const { return screen_; }  // everything so far
  int wait();  // the exit code, as in Ran; killed if it has not ended after 30 s

 private:
  bool read_more(std::chrono::steady_clock::time_point deadline);

  pid_t pid_ = -1;
  Fd terminal_;
  std::string screen_;
  std::size_t expected_to_ = 0;
};

}  // namespace glm::testing
