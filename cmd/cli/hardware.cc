#include "cmd/cli/hardware.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <nlohmann/json.hpp>

#include "base/fd.h"
#include "base/subprocess.h"
#include "runner/plan/hardware_json.h"
#include "runner/plan/this_machine.h"

namespace glm {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kProbeMaxBytes = 1U << 20U;

Result<std::string> read_all(int fd) {
  std::string text;
  std::array<char, 4096> part;
  while (text.size() <= kProbeMaxBytes) {
    const ssize_t got = ::read(fd, part.data(), part.size());
    if (got == 0) return text;
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) break;
    text.append(part.data(), static_cast<std::size_t>(got));
  }
  return make_error(Errc::internal, "the runner's answer could not be read");
}

Result<Json> probe() {
  int fds[2];
  if (::pipe2(fds, O_CLOEXEC) != 0) return make_error(Errc::exhausted, "no descriptors are left");
  const Fd ours(fds[0]);
  Fd theirs(fds[1]);
  SpawnOptions spawn;
  spawn.program = "/proc/self/exe";
  spawn.arguments = {"runner", "--probe"};
  spawn.fds = {{.ours = theirs.get(), .theirs = 1}};
  Subprocess process = GLM_TRY(Subprocess::spawn(spawn));
  theirs = Fd();
  const std::string text = GLM_TRY(read_all(ours.get()));
  const ExitStatus status = GLM_TRY(process.wait());
  const Json list = Json::parse(text, nullptr, false);
  if (!status.clean() || !list.is_array() || list.empty()) {
    return make_error(Errc::device,
                      "the runner said nothing of use ({}); --hardware NAME plans "
                      "for another machine, --hardware cpu for the CPU",
                      status.str());
  }
  return list.front();
}

}  // namespace

Result<Json> hardware_for_plan(const std::string& key) {
  if (key.empty()) return probe().with("look at this machine's hardware");
  if (key == "cpu") return runner::to_json(runner::find_cpu());
  const auto named = runner::hardware_named(key);
  if (named.ok()) return runner::to_json(*named);
  return make_error(named.error().code, "--hardware: {}, and cpu", named.error().message);
}

}  // namespace glm
