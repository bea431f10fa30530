// Child processes: started without races, waited for without zombies.
//
// The child gets exactly the descriptors it is given: everything else is closed, whatever the rest
// of the program forgot to mark close-on-exec. Signal handlers and the signal mask are back to the
// defaults before it runs. A program that cannot be executed is an error of spawn(), not an exit
// code.
//
// Thread safety: spawn() may be called from any thread. One Subprocess belongs to one thread at a
// time, but for signal(), which may be called from another one while the owner waits.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace glm {

// How a process ended.
struct ExitStatus {
  int code = 0;    // the exit code, when signal is 0
  int signal = 0;  // the signal that killed it

  bool clean() const { return code == 0 && signal == 0; }
  std::string str() const;  // "exit code 3", "killed by signal 9 (Killed)"
};

enum class ProcessGroup {
  shared,   // the parent's: a Ctrl-C in the terminal reaches the child too
  own,      // a group of its own, which signal_group() reaches with all its children
  session,  // a session of its own, without a terminal: for daemons
};

enum class ParentDeath {
  outlive,
  // SIGKILL when the *thread* that called spawn() ends (PR_SET_PDEATHSIG): call it from a thread
  // that lives as long as the child should.
  die,
};

struct SpawnOptions {
  std::filesystem::path program;                                 // a path; PATH is not searched
  std::vector<std::string> arguments;                            // without the program's own name
  std::vector<std::pair<std::string, std::string>> environment;  // added to or replacing ours
  std::filesystem::path working_dir;                             // empty: ours

  struct Inherit {
    int ours;    // stays open here
    int theirs;  // the number the child knows it by; two rows never share one
  };
  std::vector<Inherit> fds;  // 0, 1 and 2 are ours unless named here

  ProcessGroup group = ProcessGroup::shared;
  ParentDeath parent_death = ParentDeath::outlive;
};

class Subprocess {
 public:
  // Errc::not_found, permission: the program or working_dir; exhausted: no more processes.
  static Result<Subprocess> spawn(const SpawnOptions& options);

  Subprocess(Subprocess&& other) noexcept;
  Subprocess& operator=(Subprocess&& other) noexcept;
  // Kills what still runs (the whole group, if it is its own) and reaps it.
  ~Subprocess();

  pid_t pid() const { return pid_; }

  // Blocks until the child has ended. Asked again, it answers the same.
  Result<ExitStatus> wait();

  // nullopt: still running after timeout.
  Result<std::optional<ExitStatus>> wait_for(std::chrono::milliseconds timeout);

  // Does nothing to a child that has been waited for. signal_group() is signal() unless the child
  // has a group or session of its own.
  Status signal(int number) const;
  Status signal_group(int number) const;

  // It runs on and is not waited for; what is left of it lasts as long as this process. Nothing but
  // pid() may be asked of this object afterwards.
  void disown() { disowned_ = true; }

  // SIGTERM to the group, and SIGKILL if it has not ended after grace; reaps.
  Result<ExitStatus> terminate(std::chrono::milliseconds grace);

 private:
  Subprocess(pid_t pid, Fd pidfd, ProcessGroup group)
      : pid_(pid), pidfd_(std::move(pidfd)), group_(group) {}
  void end();

  pid_t pid_ = -1;  // -1 after a move
  Fd pidfd_;        // readable once the child has ended; empty on kernels before 5.3
  ProcessGroup group_ = ProcessGroup::shared;
  std::optional<ExitStatus> status_;
  bool disowned_ = false;
};

// True while a process of that id runs (a zombie no longer does).
bool process_runs(pid_t pid);

}  // namespace glm
