// Children are /bin/sh scripts that report what they see through a pipe on descriptor 5.
#include "base/subprocess.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>
#include <thread>
#include <vector>

namespace glm {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Steady = std::chrono::steady_clock;

struct Pipe {
  Fd read, write;
};

Pipe make_pipe() {
  int ends[2];
  EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  return {Fd(ends[0]), Fd(ends[1])};
}

std::string read_to_end(int fd) {
  std::string all;
  std::array<char, 4096> buffer;
  while (true) {
    const ssize_t got = ::read(fd, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return all;
    all.append(buffer.data(), static_cast<std::size_t>(got));
  }
}

SpawnOptions shell(std::string script) {
  SpawnOptions options;
  options.program = "/bin/sh";
  options.arguments = {"-c", std::move(script)};
  return options;
}

// What the script writes to descriptor 5.
std::string answer_of(SpawnOptions options) {
  Pipe pipe = make_pipe();
  options.fds.push_back({.ours = pipe.write.get(), .theirs = 5});
  auto child = Subprocess::spawn(options);
  EXPECT_TRUE(child.ok()) << child.error().message;
  pipe.write = Fd();
  std::string answer = read_to_end(pipe.read.get());
  EXPECT_TRUE(child->wait().ok());
  return answer;
}

TEST(Subprocess, ReportsTheExitCode) {
  auto child = Subprocess::spawn(shell("exit 7"));
  ASSERT_TRUE(child.ok());
  const auto status = child->wait();
  ASSERT_TRUE(status.ok());
  EXPECT_EQ(status->code, 7);
  EXPECT_EQ(status->signal, 0);
  EXPECT_FALSE(status->clean());
  EXPECT_EQ(status->str(), "exit code 7");
  EXPECT_EQ(child->wait()->code, 7);
}

TEST(Subprocess, ReportsTheSignalThatKilled) {
  auto child = Subprocess::spawn(shell("kill -9 $$"));
  ASSERT_TRUE(child.ok());
  EXPECT_EQ(child->wait()->str(), "killed by signal 9 (Killed)");
}

TEST(Subprocess, FailsInSpawnWhenTheProgramIsMissing) {
  SpawnOptions options;
  options.program = "/nonexistent/program";
  const auto child = Subprocess::spawn(options);
  ASSERT_FALSE(child.ok());
  EXPECT_EQ(child.error().code, Errc::not_found);
  EXPECT_EQ(child.error().message, "start /nonexistent/program: No such file or directory");
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1) << "a zombie was left";
}

TEST(Subprocess, FailsInSpawnWhenTheWorkingFolderIsMissing) {
  SpawnOptions options = shell("exit 0");
  options.working_dir = "/nonexistent";
  const auto child = Subprocess::spawn(options);
  ASSERT_FALSE(child.ok());
  EXPECT_EQ(child.error().code, Errc::not_found);
  EXPECT_EQ(child.error().message, "start /bin/sh: enter /nonexistent: No such file or directory");
}

TEST(Subprocess, PassesArgumentsEnvironmentAndWorkingFolder) {
  SpawnOptions options = shell("echo \"$0|$1|$GLM_TEST_NEW|$PWD\" >&5");
  options.arguments.insert(options.arguments.end(), {"first", "two words"});
  options.environment = {{"GLM_TEST_NEW", "a=b"}, {"PWD", ""}};
  options.working_dir = "/";
  EXPECT_EQ(answer_of(options), "first|two words|a=b|/\n");
}

TEST(Subprocess, ReplacesAVariableInsteadOfRepeatingIt) {
  SpawnOptions options = shell("env | grep -c '^HOME=' >&5; echo $HOME >&5");
  options.environment = {{"HOME", "/elsewhere"}};
  EXPECT_EQ(answer_of(options), "1\n/elsewhere\n");
}

TEST(Subprocess, ClosesWhatItWasNotToldToPassOn) {
  const Fd leaky(::open("/dev/null", O_RDONLY));  // without O_CLOEXEC
  ASSERT_TRUE(leaky);
  const Fd high(::fcntl(leaky.get(), F_DUPFD, 900));
  ASSERT_TRUE(high);
  // The shell itself may open descriptors above 9 for its own use.
  const std::string fds = answer_of(
      shell("for fd in /proc/$$/fd/*; do case $(readlink $fd) in /dev/null) "
            "[ ${fd##*/} -gt 2 ] && echo leak ${fd##*/};; esac; done >&5; [ -e /proc/$$/fd/5 ] && "
            "echo five >&5"));
  EXPECT_EQ(fds, "five\n");
}

TEST(Subprocess, SwapsDescriptorsThatStandInEachOthersWay) {
  Pipe a = make_pipe(), b = make_pipe();
  SpawnOptions options = shell("echo to-a >&" + std::to_string(b.write.get()) + "; echo to-b >&" +
                               std::to_string(a.write.get()));
  ASSERT_LT(std::max(a.write.get(), b.write.get()), 10) << "the shell takes one digit only";
  options.fds = {{.ours = a.write.get(), .theirs = b.write.get()},
                 {.ours = b.write.get(), .theirs = a.write.get()}};
  auto child = Subprocess::spawn(options);
  ASSERT_TRUE(child.ok()) << child.error().message;
  a.write = Fd();
  b.write = Fd();
  EXPECT_EQ(read_to_end(a.read.get()), "to-a\n");
  EXPECT_EQ(read_to_end(b.read.get()), "to-b\n");
  EXPECT_TRUE(child->wait()->clean());
}

TEST(Subprocess, ConnectsStandardStreams) {
  Pipe in = make_pipe(), out = make_pipe();
  SpawnOptions options;
  options.program = "/bin/cat";
  options.fds = {{.ours = in.read.get(), .theirs = 0}, {.ours = out.write.get(), .theirs = 1}};
  auto child = Subprocess::spawn(options);
  ASSERT_TRUE(child.ok());
  in.read = Fd();
  out.write = Fd();
  ASSERT_EQ(::write(in.write.get(), "hello", 5), 5);
  in.write = Fd();
  EXPECT_EQ(read_to_end(out.read.get()), "hello");
  EXPECT_TRUE(child->wait()->clean());
}

TEST(Subprocess, ResetsHandlersAndMask) {
  // An ignored signal and a blocked one would both be inherited otherwise.
  struct sigaction ignore {
  }, before{};
  ignore.sa_handler = SIG_IGN;
  ASSERT_EQ(::sigaction(SIGUSR1, &ignore, &before), 0);
  sigset_t blocked, mask_before;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGUSR2);
  ASSERT_EQ(::pthread_sigmask(SIG_BLOCK, &blocked, &mask_before), 0);
  EXPECT_EQ(Subprocess::spawn(shell("kill -USR1 $$; exit 0"))->wait()->signal, SIGUSR1);
  EXPECT_EQ(Subprocess::spawn(shell("kill -USR2 $$; exit 0"))->wait()->signal, SIGUSR2);
  sigset_t now;
  ASSERT_EQ(::pthread_sigmask(SIG_SETMASK, &mask_before, &now), 0);
  EXPECT_EQ(sigismember(&now, SIGUSR2), 1) << "the parent's mask changed";
  ::sigaction(SIGUSR1, &before, nullptr);
}

TEST(Subprocess, WaitsNoLongerThanTold) {
  Pipe hold = make_pipe();
  SpawnOptions options = shell("read line");
  options.fds = {{.ours = hold.read.get(), .theirs = 0}};
  auto child = Subprocess::spawn(options);
  ASSERT_TRUE(child.ok());
  EXPECT_FALSE(child->wait_for(milliseconds(0))->has_value());
  const auto begin = Steady::now();
  EXPECT_FALSE(child->wait_for(milliseconds(50))->has_value());
  EXPECT_GE(Steady::now() - begin, milliseconds(50));
  ASSERT_EQ(::write(hold.write.get(), "\n", 1), 1);
  const auto ended = child->wait_for(seconds(60));
  ASSERT_TRUE(ended.ok() && ended->has_value());
  EXPECT_TRUE((*ended)->clean());
}

TEST(Subprocess, KillsAChildThatDoesNotHeedTerm) {
  Pipe ready = make_pipe();
  SpawnOptions options = shell("trap '' TERM; echo ready >&5; while :; do sleep 1; done");
  options.fds = {{.ours = ready.write.get(), .theirs = 5}};
  options.group = ProcessGroup::own;
  auto child = Subprocess::spawn(options);
  ASSERT_TRUE(child.ok());
  char byte;
  ASSERT_EQ(::read(ready.read.get(), &byte, 1), 1);
  EXPECT_EQ(child->terminate(milliseconds(100))->signal, SIGKILL);
}

TEST(Subprocess, TerminatesGentlyFirst) {
  Pipe ready = make_pipe();
  SpawnOptions options = shell("trap 'exit 3' TERM; echo ready >&5; while :; do sleep 0.01; done");
  options.fds = {{.ours = ready.write.get(), .theirs = 5}};
  options.group = ProcessGroup::own;
  auto child = Subprocess::spawn(options);
  ASSERT_TRUE(child.ok());
  char byte;
  ASSERT_EQ(::read(ready.read.get(), &byte, 1), 1);
  EXPECT_EQ(child->terminate(seconds(60))->code, 3);
}

TEST(Subprocess, TakesItsGroupAlongWhenDestroyed) {
  Pipe pipe = make_pipe();
  {
    SpawnOptions options = shell("sleep 1000 & echo $! >&5; wait");
    options.fds = {{.ours = pipe.write.get(), .theirs = 5}};
    options.group = ProcessGroup::own;
    auto child = Subprocess::spawn(options);
    ASSERT_TRUE(child.ok());
    pipe.write = Fd();
    char byte;
    do {
      ASSERT_EQ(::read(pipe.read.get(), &byte, 1), 1);
    } while (byte != '\n');
  }
  // Ends only when the grandchild, which has the pipe too, is gone.
  EXPECT_EQ(read_to_end(pipe.read.get()), "");
}

TEST(Subprocess, DiesWithTheThreadThatStartedIt) {
  Pipe pipe = make_pipe();
  std::thread parent([&] {
    SpawnOptions options;
    options.program = "/bin/sleep";
    options.arguments = {"1000"};
    options.fds = {{.ours = pipe.write.get(), .theirs = 5}};
    options.parent_death = ParentDeath::die;
    auto child = Subprocess::spawn(options);
    ASSERT_TRUE(child.ok());
    EXPECT_TRUE(process_runs(child->pid()));
    static std::vector<Subprocess> kept;  // not killed by its destructor
    kept.push_back(std::move(*child));
  });
  parent.join();
  pipe.write = Fd();
  EXPECT_EQ(read_to_end(pipe.read.get()), "");
}

TEST(Subprocess, GivesASessionOfItsOwn) {
  SpawnOptions options = shell("ps -o sid= -p $$ 2>/dev/null | tr -d ' ' >&5; echo $$ >&5");
  options = shell("cut -d' ' -f6 /proc/$$/stat >&5; echo $$ >&5");
  options.group = ProcessGroup::session;
  const std::string answer = answer_of(options);
  const std::string first = answer.substr(0, answer.find('\n') + 1);
  EXPECT_EQ(answer, first + first);
}

TEST(Subprocess, RunsOnWhenDisowned) {
  Pipe pipe = make_pipe(), hold = make_pipe();
  SpawnOptions options = shell("read line; echo done >&5");
  options.fds = {{.ours = hold.read.get(), .theirs = 0}, {.ours = pipe.write.get(), .theirs = 5}};
  options.group = ProcessGroup::session;
  pid_t pid = 0;
  {
    auto child = Subprocess::spawn(options);
    ASSERT_TRUE(child.ok()) << child.error().message;
    pid = child->pid();
    child->disown();
  }
  EXPECT_TRUE(process_runs(pid));
  pipe.write = Fd();
  hold.write = Fd();
  EXPECT_EQ(read_to_end(pipe.read.get()), "done\n");
  EXPECT_EQ(::waitpid(pid, nullptr, 0), pid);
}

TEST(ProcessRuns, KnowsZombiesAndStrangers) {
  EXPECT_TRUE(process_runs(::getpid()));
  EXPECT_FALSE(process_runs(0));
  EXPECT_FALSE(process_runs(-1));
  EXPECT_FALSE(process_runs(0x7FFFFFF0));
  Pipe pipe = make_pipe();
  SpawnOptions options = shell("exit 0");
  options.fds = {{.ours = pipe.write.get(), .theirs = 5}};
  auto child = Subprocess::spawn(options);
  ASSERT_TRUE(child.ok());
  siginfo_t info;
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(child->pid()), &info, WEXITED | WNOWAIT), 0);
  EXPECT_FALSE(process_runs(child->pid()));  // a zombie by now
}

TEST(Subprocess, StartsManyAtOnceFromManyThreads) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([i] {
      for (int j = 0; j < 10; ++j) {
        auto child = Subprocess::spawn(shell("exit " + std::to_string(i)));
        ASSERT_TRUE(child.ok());
        EXPECT_EQ(child->wait()->code, i);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace glm
