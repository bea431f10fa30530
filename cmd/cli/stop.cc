// glm stop MODEL — unloads a model; glm stop --all — unloads everything and ends the daemon.
#include <sys/types.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>

#include "base/paths.h"
#include "base/subprocess.h"
#include "cmd/cli/cli.h"
#include "cmd/cli/daemon_start.h"
#include "cmd/cli/terminal.h"
#include "cmd/daemon/pid_file.h"

namespace glm {
namespace {

using std::chrono::milliseconds;
using Steady = std::chrono::steady_clock;

constexpr std::chrono::seconds kShutdownTimeMax{60};
constexpr milliseconds kPollInterval{20};

struct Args {
  std::string model;
  bool all = false;
};

bool serves_elsewhere() {
  const Result<std::filesystem::path> home = glm_home();
  return home.ok() && daemon::PidFile::holder(*home / "daemon.pid").has_value();
}

// A daemon that was started with another GLM_HOST has this user's models all the same.
Status stop_elsewhere(const HostAddress& address, const Peer& peer) {
  const std::filesystem::path home = GLM_TRY(glm_home());
  const std::optional<pid_t> pid = daemon::PidFile::holder(home / "daemon.pid");
  if (!pid || !address.is_loopback()) {
    say(peer.kind == Peer::Kind::glm ? fmt::format("glm: no daemon serves {}\n", home.string())
                                     : "glm: no daemon runs\n");
    return Ok{};
  }
  if (::kill(*pid, SIGTERM) != 0 && errno != ESRCH) {
    return make_error(Errc::permission, "end the daemon of {} (pid {}): not allowed", home.string(),
                      *pid);
  }
  const auto deadline = Steady::now() + kShutdownTimeMax;
  while (process_runs(*pid)) {
    if (Steady::now() > deadline) {
      return make_error(Errc::unavailable, "the daemon of {} (pid {}) was told to end {} s ago",
                        home.string(), *pid, kShutdownTimeMax.count());
    }
    std::this_thread::sleep_for(kPollInterval);
  }
  say(fmt::format("glm: ended the daemon of {} (pid {}), which listened at another address\n",
                  home.string(), *pid));
  return Ok{};
}

Status stop_all(Cli& cli) {
  const HostAddress address = GLM_TRY(peer_address(cli.host));
  const Peer peer = who_answers(address);
  if (peer.kind == Peer::Kind::stranger && !serves_elsewhere()) return not_glm(address, peer);
  const bool ours = peer.kind == Peer::Kind::glm && check_home(address, peer).ok();
  if (!ours) return stop_elsewhere(address, peer);
  Client client(address);
  pid_t pid = 0;
  const Result<Json> answer = client.post("/api/shutdown", Json::object());
  // A daemon may be gone before its answer is out.
  if (!answer.ok() && answer.error().code != Errc::unavailable) return answer.error();
  if (answer.ok() && address.is_loopback() && integer_field(*answer, "pid") > 0) {
    pid = static_cast<pid_t>(integer_field(*answer, "pid"));
  }
  const auto deadline = Steady::now() + kShutdownTimeMax;
  while ((pid > 0 && process_runs(pid)) || who_answers(address).kind != Peer::Kind::nobody) {
    if (Steady::now() > deadline) {
      return make_error(Errc::unavailable,
                        "the daemon at {} was asked to end {} s ago and still runs{}",
                        address.str(), kShutdownTimeMax.count(),
                        pid > 0 ? fmt::format("; 'kill {}' ends it at once", pid) : "");
    }
    std::this_thread::sleep_for(kPollInterval);
  }
  return Ok{};
}

Status stop(Cli& cli, const Args& args) {
  if (args.all) return stop_all(cli);
  if (args.model.empty()) {
    return make_error(Errc::invalid_argument, "stop wants a model, or --all");
  }
  GLM_TRY(check_utf8(args.model, "the model's name"));
  std::optional<Client> client = GLM_TRY(connect_if_running(cli));
  if (!client) {
    say("glm: no daemon runs, so nothing is loaded\n");
    return Ok{};
  }
  const Json body = {{"model", args.model}, {"keep_alive", 0}, {"stream", false}};
  GLM_TRY(client->post("/api/generate", body).with("stop " + args.model));
  return Ok{};
}

}  // namespace

void add_stop(CLI::App& app, Cli& cli) {
  auto args = std::make_shared<Args>();
  CLI::App* command = add_command(app, "stop", "Unload a model; with --all, end the daemon too");
  CLI::Option* model = command->add_option("model", args->model, "name[:tag] or org/name");
  command->add_flag("--all", args->all, "Unload every model and end the daemon")->excludes(model);
  command->callback([&cli, args] { cli.run = [&cli, args] { return stop(cli, *args); }; });
}

}  // namespace glm
