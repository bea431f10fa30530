#include "cmd/cli/cli.h"

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "base/paths.h"
#include "cmd/cli/daemon_start.h"
#include "cmd/cli/terminal.h"
#include "cmd/daemon/pid_file.h"
#include "cmd/outcome.h"
#include "cmd/version.h"

namespace glm {
namespace {

void warn_of_other_version(const HostAddress& address, std::string_view version) {
  if (version == kVersion) return;
  warn(
      fmt::format("the daemon at {} is version {}, this is {}; 'glm stop --all' ends "
                  "it, and the next command starts the new one",
                  address.str(), version, kVersion));
}

}  // namespace

CLI::App* add_command(CLI::App& app, std::string_view name, std::string_view help) {
  CLI::App* command = app.add_subcommand(std::string(name), std::string(help));
  command->fallthrough();  // --host may stand behind the command too
  command->footer(exit_codes_help());
  return command;
}

Result<Client> connect(const Cli& cli) {
  const HostAddress address = GLM_TRY(peer_address(cli.host));
  const Peer daemon = GLM_TRY(ensure_daemon(address));
  warn_of_other_version(address, daemon.version);
  warn(daemon.warning);
  return Client(address);
}

Result<std::optional<Client>> connect_if_running(const Cli& cli) {
  const HostAddress address = GLM_TRY(peer_address(cli.host));
  const Peer peer = who_answers(address);
  if (peer.kind == Peer::Kind::nobody) {
    if (!address.is_loopback()) return std::optional<Client>();
    const std::filesystem::path home = GLM_TRY(glm_home());
    GLM_TRY(daemon::PidFile::check_not_elsewhere(home / "daemon.pid", address.str()));
    return std::optional<Client>();
  }
  if (peer.kind == Peer::Kind::stranger) return not_glm(address, peer);
  GLM_TRY(check_home(address, peer));
  return std::optional<Client>(Client(address));
}

Status print_json(const Json& json) {
  return print(json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n");
}

std::string text_field(const Json& json, std::string_view field) {
  if (!json.is_object()) return {};
  const auto found = json.find(std::string(field));
  return found != json.end() && found->is_string() ? found->get<std::string>() : std::string();
}

std::int64_t integer_field(const Json& json, std::string_view field) {
  if (!json.is_object()) return 0;
  const auto found = json.find(std::string(field));
  if (found == json.end() || !found->is_number()) return 0;
  if (found->is_number_float()) {
    const double value = found->get<double>();
    return value > -9e18 && value < 9e18 ? static_cast<std::int64_t>(value) : 0;
  }
  if (found->is_number_unsigned() && found->get<std::uint64_t>() > INT64_MAX) return INT64_MAX;
  return found->get<std::int64_t>();
}

}  // namespace glm
