#include "base/subprocess.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <thread>

#include "base/errno_error.h"

extern char** environ;

namespace glm {
namespace {

using std::chrono::milliseconds;
using Steady = std::chrono::steady_clock;

// What travels through the report pipe; the pipe closes when the program runs.
struct Report {
  enum Step : int { kChdir, kDescriptors, kExec, kFork } step;
  int value;  // the errno that stopped the child
};

// Everything the child needs between fork() and execve(), made before: only async-signal-safe calls
// are allowed there.
struct Prepared {
  const char* program;
  std::vector<char*> argv, envp;
  const char* working_dir;  // nullptr: stay
  std::vector<SpawnOptions::Inherit> fds;
  int high;    // above every number the child wants
  int report;  // write end of the report pipe
  ProcessGroup group;
  ParentDeath parent_death;
  pid_t parent;
};

void tell(int report, Report message) {
  (void)!::write(report, &message, sizeof message);
}

[[noreturn]] void fail(int report, Report::Step step) {
  tell(report, {step, errno});
  ::_exit(127);
}

void close_from(int first) {
#ifdef SYS_close_range
  if (::syscall(SYS_close_range, static_cast<unsigned>(first), ~0u, 0u) == 0) return;
#endif
  const long open_max = ::sysconf(_SC_OPEN_MAX);
  for (int fd = first; fd < (open_max > 0 ? open_max : 1024); ++fd) ::close(fd);
}

// Moves every inherited descriptor out of the way first: a row's target may be another row's
// source. Afterwards exactly 0, 1, 2 and the targets are open, and the report pipe just above them.
int arrange_descriptors(const Prepared& child, std::array<int, 64>& moved) {
  const int report = ::fcntl(child.report, F_DUPFD_CLOEXEC, child.high);
  if (report < 0) fail(child.report, Report::kDescriptors);
  for (std::size_t i = 0; i < child.fds.size(); ++i) {
    moved[i] = ::fcntl(child.fds[i].ours, F_DUPFD_CLOEXEC, child.high);
    if (moved[i] < 0) fail(report, Report::kDescriptors);
  }
  for (std::size_t i = 0; i < child.fds.size(); ++i) {
    if (::dup2(moved[i], child.fds[i].theirs) < 0) fail(report, Report::kDescriptors);
  }
  for (int fd = 3; fd < child.high; ++fd) {
    const bool wanted = std::any_of(child.fds.begin(), child.fds.end(),
                                    [fd](const auto& row) { return row.theirs == fd; });
    if (!wanted) ::close(fd);
  }
  if (report != child.high) {
    if (::dup3(report, child.high, O_CLOEXEC) < 0) fail(report, Report::kDescriptors);
  }
  close_from(child.high + 1);
  return child.high;
}

[[noreturn]] void run_child(const Prepared& child, std::array<int, 64>& moved) {
  if (child.group == ProcessGroup::own) (void)::setpgid(0, 0);
  if (child.group == ProcessGroup::session) (void)::setsid();
  if (child.parent_death == ParentDeath::die) {
    (void)::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != child.parent) ::_exit(127);  // the parent died before prctl()
  }
  struct sigaction by_default {};
  by_default.sa_handler = SIG_DFL;
  for (int number = 1; number < NSIG; ++number) (void)::sigaction(number, &by_default, nullptr);

  const int report = arrange_descriptors(child, moved);
  if (child.working_dir != nullptr && ::chdir(child.working_dir) != 0) fail(report, Report::kChdir);
  sigset_t none;
  sigemptyset(&none);
  (void)::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::execve(child.program, child.argv.data(), child.envp.data());
  fail(report, Report::kExec);
}

std::vector<std::string> environment_for(const SpawnOptions& options) {
  std::vector<std::string> all;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const std::string_view name = text.substr(0, text.find('='));
    const bool replaced = std::any_of(options.environment.begin(), options.environment.end(),
                                      [name](const auto& pair) { return pair.first == name; });
    if (!replaced) all.emplace_back(text);
  }
  for (const auto& [name, value] : options.environment) all.push_back(name + "=" + value);
  return all;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> all;
  for (std::string& text : texts) all.push_back(text.data());
  all.push_back(nullptr);
  return all;
}

struct Pipe {
  Fd read, write;
};

Result<Pipe> make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return errno_error("create", "a pipe", errno);
  return Pipe{Fd(ends[0]), Fd(ends[1])};
}

// How much came; short at the end of the stream.
std::size_t read_all(int fd, void* data, std::size_t size) {
  std::size_t done = 0;
  while (done < size) {
    const ssize_t got = ::read(fd, static_cast<char*>(data) + done, size - done);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    done += static_cast<std::size_t>(got);
  }
  return done;
}

Error failed(const SpawnOptions& options, const Report& report) {
  const std::string program = options.program.string();
  switch (report.step) {
    case Report::kChdir:
      return errno_error(fmt::format("start {}: enter", program), options.working_dir,
                         report.value);
    case Report::kDescriptors:
      return errno_error("hand descriptors to", options.program, report.value);
    case Report::kFork:
      if (report.value == EAGAIN) {
        return make_error(Errc::exhausted, "start {}: no more processes are allowed", program);
      }
      return errno_error("fork for", options.program, report.value);
    case Report::kExec:
      break;
  }
  return errno_error("start", options.program, report.value);
}

// Forks and waits until the program runs.
Result<pid_t> start(const SpawnOptions& options) {
  std::array<int, 64> moved{};
  if (options.fds.size() > moved.size()) {
    return make_error(Errc::invalid_argument,
                      "start {}: {} descriptors, at most {} can be handed on",
                      options.program.string(), options.fds.size(), moved.size());
  }
  Pipe report = GLM_TRY(make_pipe());
  std::vector<std::string> arguments = {options.program.string()};
  arguments.insert(arguments.end(), options.arguments.begin(), options.arguments.end());
  std::vector<std::string> environment = environment_for(options);
  const std::string program = options.program.string();
  const std::string working_dir = options.working_dir.string();
  Prepared child{.program = program.c_str(),
                 .argv = pointers(arguments),
                 .envp = pointers(environment),
                 .working_dir = working_dir.empty() ? nullptr : working_dir.c_str(),
                 .fds = options.fds,
                 .high = 3,
                 .report = report.write.get(),
                 .group = options.group,
                 .parent_death = options.parent_death,
                 .parent = ::getpid()};
  for (const auto& row : options.fds) child.high = std::max(child.high, row.theirs + 1);

  // No handler of ours may run in the child before it has put the defaults back.
  sigset_t all, before;
  sigfillset(&all);
  (void)::pthread_sigmask(SIG_SETMASK, &all, &before);
  const pid_t pid = ::fork();
  const int fork_error = pid < 0 ? errno : 0;
  if (pid == 0) run_child(child, moved);
  (void)::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (fork_error != 0) return failed(options, {Report::kFork, fork_error});

  report.write = Fd();  // the other end lives on in the child until execve() closes it
  Report failure{};
  if (read_all(report.read.get(), &failure, sizeof failure) < sizeof failure) return pid;
  while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
  return failed(options, failure);
}

Fd open_pidfd(pid_t pid) {
#ifdef SYS_pidfd_open
  return Fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0u)));
#else
  (void)pid;
  return Fd();
#endif
}

ExitStatus decoded(int status) {
  if (WIFSIGNALED(status)) return {.code = 0, .signal = WTERMSIG(status)};
  return {.code = WEXITSTATUS(status), .signal = 0};
}

}  // namespace

std::string ExitStatus::str() const {
  if (signal == 0) return fmt::format("exit code {}", code);
  return fmt::format("killed by signal {} ({})", signal, ::strsignal(signal));
}

Result<Subprocess> Subprocess::spawn(const SpawnOptions& options) {
  const pid_t pid = GLM_TRY(start(options));
  return Subprocess(pid, open_pidfd(pid), options.group);
}

Subprocess::Subprocess(Subprocess&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      pidfd_(std::move(other.pidfd_)),
      group_(other.group_),
      status_(other.status_),
      disowned_(other.disowned_) {}

Subprocess& Subprocess::operator=(Subprocess&& other) noexcept {
  if (this == &other) return *this;
  end();
  pid_ = std::exchange(other.pid_, -1);
  pidfd_ = std::move(other.pidfd_);
  group_ = other.group_;
  status_ = other.status_;
  disowned_ = other.disowned_;
  return *this;
}

Subprocess::~Subprocess() {
  end();
}

void Subprocess::end() {
  if (pid_ < 0 || status_ || disowned_) return;
  (void)signal_group(SIGKILL);
  (void)wait();
}

Result<ExitStatus> Subprocess::wait() {
  if (status_) return *status_;
  int status = 0;
  while (::waitpid(pid_, &status, 0) < 0) {
    if (errno != EINTR) return errno_error("wait for", fmt::format("process {}", pid_), errno);
  }
  status_ = decoded(status);
  return *status_;
}

Result<std::optional<ExitStatus>> Subprocess::wait_for(milliseconds timeout) {
  const auto deadline = Steady::now() + timeout;
  while (!status_) {
    int status = 0;
    const pid_t ended = ::waitpid(pid_, &status, WNOHANG);
    if (ended < 0 && errno != EINTR) {
      return errno_error("wait for", fmt::format("process {}", pid_), errno);
    }
    if (ended == pid_) {
      status_ = decoded(status);
      break;
    }
    const auto left = std::chrono::ceil<milliseconds>(deadline - Steady::now());
    if (left <= milliseconds(0)) return std::optional<ExitStatus>();
    const auto nap = std::min<milliseconds>(left, pidfd_ ? milliseconds(60'000) : milliseconds(5));
    pollfd ready{.fd = pidfd_.get(), .events = POLLIN, .revents = 0};
    (void)::poll(&ready, pidfd_ ? 1 : 0, static_cast<int>(nap.count()));
  }
  return status_;
}

Status Subprocess::signal(int number) const {
  int failed = 0;
#ifdef SYS_pidfd_send_signal
  if (pidfd_) {  // never another process that got the same id, whatever other threads do meanwhile
    failed = static_cast<int>(::syscall(SYS_pidfd_send_signal, pidfd_.get(), number, nullptr, 0u));
    if (failed == 0 || errno == ESRCH) return Ok{};
    if (errno != ENOSYS) return errno_error("signal", fmt::format("process {}", pid_), errno);
  }
#endif
  if (pid_ < 0 || status_) return Ok{};
  failed = ::kill(pid_, number);
  if (failed != 0 && errno != ESRCH) {
    return errno_error("signal", fmt::format("process {}", pid_), errno);
  }
  return Ok{};
}

Status Subprocess::signal_group(int number) const {
  if (group_ == ProcessGroup::shared) return signal(number);
  if (pid_ < 0 || status_) return Ok{};
  if (::kill(-pid_, number) == 0) return Ok{};
  return signal(number);
}

Result<ExitStatus> Subprocess::terminate(milliseconds grace) {
  GLM_TRY(signal_group(SIGTERM));
  const auto ended = GLM_TRY(wait_for(grace));
  if (ended) return *ended;
  GLM_TRY(signal_group(SIGKILL));
  return wait();
}

bool process_runs(pid_t pid) {
  if (pid <= 0 || (::kill(pid, 0) != 0 && errno == ESRCH)) return false;
  const Fd file(::open(fmt::format("/proc/{}/stat", pid).c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return errno != ENOENT;
  std::array<char, 512> buffer{};
  const std::string_view stat(buffer.data(), read_all(file.get(), buffer.data(), buffer.size()));
  if (stat.empty()) return false;  // it ended between open() and read()
  // "123 (name, which may contain anything) S …"
  const std::size_t name_end = stat.rfind(')');
  if (name_end == std::string_view::npos || name_end + 2 >= stat.size()) return true;
  const char state = stat[name_end + 2];
  return state != 'Z' && state != 'X';
}

}  // namespace glm
