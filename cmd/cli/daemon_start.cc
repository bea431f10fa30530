#include "cmd/cli/daemon_start.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <cerrno>
#include <chrono>
#include <filesystem>
#include <optional>
#include <thread>
#include <utility>

#include "base/errno_error.h"
#include "base/fd.h"
#include "base/paths.h"
#include "base/subprocess.h"
#include "base/units.h"
#include "cmd/cli/terminal.h"
#include "cmd/outcome.h"

namespace glm {
namespace fs = std::filesystem;
namespace {

using std::chrono::milliseconds;
using Steady = std::chrono::steady_clock;

constexpr std::chrono::seconds kStartTimeMax{15};
constexpr milliseconds kPollInterval{25};
constexpr std::size_t kLogTailMaxBytes = 800;
constexpr std::size_t kRefusalMaxBytes = 8 << 10;

Result<Fd> open_file(const fs::path& path, int flags) {
  Fd fd(::open(path.c_str(), flags | O_CLOEXEC, 0600));
  if (!fd) return errno_error("open", path, errno);
  return fd;
}

// Whoever holds it starts the daemon. Freed by close(), also when its holder is killed.
Result<Fd> lock(const fs::path& path, Steady::time_point deadline) {
  Fd fd = GLM_TRY(open_file(path, O_RDWR | O_CREAT));
  while (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR) return errno_error("lock", path, errno);
    if (Steady::now() > deadline) {
      return make_error(Errc::unavailable,
                        "another command has been starting the daemon for {} s (it holds {})",
                        kStartTimeMax.count(), path.string());
    }
    std::this_thread::sleep_for(kPollInterval);
  }
  return fd;
}

// What the daemon wrote since it was started: the end of it.
std::string log_end(const fs::path& log, std::uint64_t begin, std::size_t bytes_max) {
  auto text = read_file(log);
  if (!text.ok() || text->size() <= begin) return {};
  const std::size_t size = std::min<std::size_t>(text->size() - begin, bytes_max);
  return text->substr(text->size() - size);
}

std::string indented(std::string_view lines) {
  std::string out;
  while (!lines.empty()) {
    const std::size_t newline = std::min(lines.find('\n'), lines.size());
    out += fmt::format("\n  {}", for_terminal(lines.substr(0, newline)));
    lines.remove_prefix(std::min(newline + 1, lines.size()));
  }
  return out;
}

std::string log_tail(const fs::path& log, std::uint64_t begin) {
  return indented(log_end(log, begin, kLogTailMaxBytes));
}

// What `glm serve` says last when it refuses, and the kind of error it exits with.
std::optional<Error> refusal_of(const ExitStatus& status, const std::string& said) {
  const std::optional<Errc> code = errc_from_exit_code(status.code);
  const std::size_t line = said.starts_with("glm: ") ? 0 : said.rfind("\nglm: ");
  if (status.signal != 0 || !code || line == std::string::npos) return std::nullopt;
  std::string message = said.substr(said.find(' ', line) + 1);
  while (message.ends_with('\n')) message.pop_back();
  return Error{*code, std::move(message)};
}

Error why_it_ended(const ExitStatus& status, const fs::path& log, std::uint64_t begin) {
  std::optional<Error> refusal = refusal_of(status, log_end(log, begin, kRefusalMaxBytes));
  if (!refusal) {
    return make_error(Errc::unavailable, "the daemon ended as soon as it was started; its log {}{}",
                      log.string(), log_tail(log, begin));
  }
  refusal->message += fmt::format("\n  its log: {}", log.string());
  return *std::move(refusal);
}

std::uint64_t size_of(const Fd& file) {
  struct stat info {};
  return ::fstat(file.get(), &info) == 0 ? static_cast<std::uint64_t>(info.st_size) : 0;
}

// What the daemon would refuse to start with is this user's mistake, not a daemon's failure.
Status check_environment() {
  const std::string keep_alive = env_or_empty("GLM_KEEP_ALIVE");
  if (!keep_alive.empty()) GLM_TRY(parse_duration(keep_alive).with("GLM_KEEP_ALIVE"));
  const std::string models_max = env_or_empty("GLM_MAX_LOADED_MODELS");
  if (!models_max.empty()) GLM_TRY(parse_count(models_max).with("GLM_MAX_LOADED_MODELS"));
  return Ok{};
}

Result<Peer> start(const HostAddress& address, const fs::path& home) {
  std::error_code failure;
  fs::create_directories(home / "logs", failure);
  if (failure) {
    return make_error(Errc::permission, "create {}: {}", (home / "logs").string(),
                      failure.message());
  }
  const fs::path log_path = home / "logs" / "daemon.log";
  const Fd log = GLM_TRY(open_file(log_path, O_WRONLY | O_CREAT | O_APPEND));
  const Fd nothing = GLM_TRY(open_file("/dev/null", O_RDONLY));
  const std::uint64_t log_begin = size_of(log);

  SpawnOptions options;
  options.program = GLM_TRY(executable_path());
  options.arguments = {"serve"};
  options.environment = {{"GLM_HOST", address.str()}, {"GLM_HOME", home.string()}};
  options.working_dir = home;
  options.fds = {{.ours = nothing.get(), .theirs = 0},
                 {.ours = log.get(), .theirs = 1},
                 {.ours = log.get(), .theirs = 2}};
  options.group = ProcessGroup::session;
  // Ours until it answers, so that we hear how it ends.
  Subprocess daemon = GLM_TRY(Subprocess::spawn(options));
  const pid_t pid = daemon.pid();

  const auto deadline = Steady::now() + kStartTimeMax;
  while (true) {
    const std::optional<ExitStatus> ended = GLM_TRY(daemon.wait_for(kPollInterval));
    const Peer peer = who_answers(address);
    if (peer.kind == Peer::Kind::glm) {
      daemon.disown();
      GLM_TRY(check_home(address, peer));
      if (!ended)
        say(fmt::format("glm: started the daemon (pid {}, log {})\n", pid, log_path.string()));
      return peer;
    }
    if (ended) return why_it_ended(*ended, log_path, log_begin);
    if (Steady::now() > deadline) {
      daemon.disown();
      return make_error(Errc::unavailable,
                        "the daemon (pid {}) does not answer at {} after {} s; its log {}{}", pid,
                        address.str(), kStartTimeMax.count(), log_path.string(),
                        log_tail(log_path, log_begin));
    }
  }
}

// The peer, if it is the right daemon.
Result<Peer> checked(const HostAddress& address, Peer peer) {
  if (peer.kind == Peer::Kind::stranger) return not_glm(address, peer);
  GLM_TRY(check_home(address, peer));
  return peer;
}

// The same folder has the same one, whatever links lead to it.
fs::path resolved(const fs::path& path) {
  std::error_code failure;
  const fs::path found = fs::weakly_canonical(path, failure);
  return failure ? path : found;
}

}  // namespace

Status check_home(const HostAddress& address, const Peer& peer) {
  if (env_or_empty("GLM_HOME").empty() || peer.home.empty() || !address.is_loopback()) return Ok{};
  const fs::path wanted = GLM_TRY(glm_home());
  if (resolved(wanted) == resolved(peer.home)) return Ok{};
  return make_error(Errc::already_exists,
                    "the daemon at {} serves {}, not {} as GLM_HOME says; give the daemon of that "
                    "folder an address of its own with GLM_HOST, or end this one first with "
                    "'env -u GLM_HOME glm stop --all'",
                    address.str(), peer.home, wanted.string());
}

Error not_glm(const HostAddress& address, const Peer& peer) {
  return make_error(Errc::already_exists,
                    "what listens at {} is not glm: it {}; set GLM_HOST to another address",
                    address.str(), peer.detail);
}

Result<Peer> ensure_daemon(const HostAddress& address) {
  Peer peer = who_answers(address);
  if (peer.kind != Peer::Kind::nobody) return checked(address, std::move(peer));
  if (address.tls) {
    return make_error(Errc::unavailable, "nobody answers at {}; set GLM_HOST to where a daemon is",
                      address.str());
  }
  if (!address.is_loopback()) {
    return make_error(Errc::unavailable,
                      "no daemon answers at {0}; each listens on its own machine's loopback only: "
                      "for one of {1} run 'ssh -N -L 11436:127.0.0.1:{2} {1}' and set "
                      "GLM_HOST=127.0.0.1:11436, or unset GLM_HOST for one of this machine",
                      address.str(), address.host, address.port);
  }
  GLM_TRY(check_environment());
  const fs::path home = GLM_TRY(make_glm_home());
  const Fd held = GLM_TRY(lock(home / "daemon-start.lock", Steady::now() + kStartTimeMax));
  peer = who_answers(address);  // it may have come up while we waited
  if (peer.kind != Peer::Kind::nobody) return checked(address, std::move(peer));
  return start(address, home).with("start the daemon");
}

}  // namespace glm
