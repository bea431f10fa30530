#include "tests/cli/glm_process.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <thread>

#include "base/check.h"

namespace glm::testing {
namespace fs = std::filesystem;
namespace {

constexpr std::chrono::seconds kPatience{30};

struct Pipe {
  Fd read, write;
};

Pipe make_pipe() {
  int ends[2];
  EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  return {Fd(ends[0]), Fd(ends[1])};
}

// False at the end of the stream.
bool read_some(int fd, std::string& into) {
  std::array<char, 16 << 10> buffer;
  while (true) {
    const ssize_t got = ::read(fd, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    into.append(buffer.data(), static_cast<std::size_t>(got));
    return true;
  }
}

void write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t put = ::write(fd, text.data(), text.size());
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) return;  // the reader is gone
    text.remove_prefix(static_cast<std::size_t>(put));
  }
}

int exit_code(const ExitStatus& status) {
  return status.signal == 0 ? status.code : 128 + status.signal;
}

Subprocess start(const Invocation& invocation, Pipe& out, Pipe& err) {
  Pipe in = make_pipe();
  SpawnOptions options;
  options.program = GLM_PROGRAM;
  options.arguments = invocation.arguments;
  options.environment = invocation.environment;
  options.fds = {{.ours = in.read.get(), .theirs = 0},
                 {.ours = out.write.get(), .theirs = 1},
                 {.ours = err.write.get(), .theirs = 2}};
  auto child = Subprocess::spawn(options);
  EXPECT_TRUE(child.ok()) << child.error().message;
  out.write = Fd();
  err.write = Fd();
  in.read = Fd();
  std::thread([end = std::move(in.write), text = invocation.input] {
    write_all(end.get(), text);
  }).detach();
  return *std::move(child);
}

}  // namespace

TempFolder::TempFolder() {
  std::string name = (fs::temp_directory_path() / "glm_cli_XXXXXX").string();
  EXPECT_NE(::mkdtemp(name.data()), nullptr);
  path_ = name;
}

TempFolder::~TempFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

RunningGlm::RunningGlm(const Invocation& invocation)
    : child_([&] {
        (void)::signal(SIGPIPE, SIG_IGN);
        Pipe out = make_pipe(), err = make_pipe();
        Subprocess child = start(invocation, out, err);
        out_ = std::move(out.read);
        err_ = std::move(err.read);
        return child;
      }()) {}

bool RunningGlm::wait_for_output(std::string_view text) {
  while (ran_.out.find(text) == std::string::npos) {
    if (!read_some(out_.get(), ran_.out)) return false;
  }
  return true;
}

Ran RunningGlm::finish() {
  std::thread errors([this] {
    while (read_some(err_.get(), ran_.err)) {
    }
  });
  while (read_some(out_.get(), ran_.out)) {
  }
  errors.join();
  const auto status = child_.wait();
  EXPECT_TRUE(status.ok());
  ran_.exit_code = exit_code(*status);
  return ran_;
}

Ran run_glm(const Invocation& invocation) {
  return RunningGlm(invocation).finish();
}

bool has_terminals() {
  return Fd(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)).get() >= 0;
}

GlmAtTerminal::GlmAtTerminal(const Invocation& invocation) {
  std::vector<std::string> words = {GLM_PROGRAM};
  words.insert(words.end(), invocation.arguments.begin(), invocation.arguments.end());
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  for (const auto& [name, value] : invocation.environment) {
    ::setenv(name.c_str(), value.c_str(), 1);
  }
  ::setenv("TERM", "xterm", 1);
  winsize size{.ws_row = 24, .ws_col = 200, .ws_xpixel = 0, .ws_ypixel = 0};
  int terminal = -1;
  pid_ = ::forkpty(&terminal, nullptr, nullptr, &size);
  if (pid_ == 0) {
    ::execv(GLM_PROGRAM, arguments.data());
    ::_exit(127);
  }
  GLM_CHECK(pid_ > 0);  // has_terminals() was asked first; kill(-1) would reach everybody
  terminal_ = Fd(terminal);
}

GlmAtTerminal::~GlmAtTerminal() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

void GlmAtTerminal::type(std::string_view keys) {
  write_all(terminal_.get(), keys);
}

bool GlmAtTerminal::read_more(std::chrono::steady_clock::time_point deadline) {
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
      deadline - std::chrono::steady_clock::now());
  pollfd ready{.fd = terminal_.get(), .events = POLLIN, .revents = 0};
  if (left.count() <= 0 || ::poll(&ready, 1, static_cast<int>(left.count())) <= 0) return false;
  return read_some(terminal_.get(), screen_);
}

bool GlmAtTerminal::expect(std::string_view text) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (true) {
    const std::size_t found = screen_.find(text, expected_to_);
    if (found != std::string::npos) {
      expected_to_ = found + text.size();
      return true;
    }
    if (!read_more(deadline)) return false;
  }
}

int GlmAtTerminal::wait() {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (read_more(deadline)) {  // until the last process has closed it
  }
  GLM_CHECK(pid_ > 0);
  if (std::chrono::steady_clock::now() >= deadline) ::kill(pid_, SIGKILL);
  int status = 0;
  ::waitpid(pid_, &status, 0);
  pid_ = -1;
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

}  // namespace glm::testing
