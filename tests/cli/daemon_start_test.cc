// Starting the daemon. The daemon is this very program: asked to `serve` it listens at GLM_HOST as
// the environment variable GLM_TEST_SERVE tells it, and writes a line to $GLM_HOME/starts.
#include "cmd/cli/daemon_start.h"

#include <gtest/gtest.h>
#include <httplib.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fstream>
#include <sstream>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "base/paths.h"
#include "tests/cli/glm_process.h"
#include "tests/fakes/fake_daemon.h"

namespace glm::testing {
namespace {

using std::chrono::milliseconds;

// A port that was free a moment ago.
HostAddress free_address() {
  const Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  EXPECT_EQ(::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
  EXPECT_EQ(::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  return *HostAddress::parse("127.0.0.1:" + std::to_string(ntohs(address.sin_port)));
}

std::string text_of(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

class DaemonStart : public ::testing::Test {
 protected:
  DaemonStart() {
    ::setenv("GLM_HOME", home.path().c_str(), 1);
    ::setenv("GLM_TEST_SERVE", "well", 1);
  }
  ~DaemonStart() override {
    std::istringstream pids(text_of(home.path() / "starts"));
    for (pid_t pid = 0; pids >> pid;) {
      if (pid > 0) ::kill(pid, SIGKILL);
    }
  }

  int starts() const {
    const std::string text = text_of(home.path() / "starts");
    return static_cast<int>(std::count(text.begin(), text.end(), '\n'));
  }

  TempFolder home;
  HostAddress address = free_address();
};

TEST_F(DaemonStart, StartsOneAndFindsItTheNextTime) {
  ::testing::internal::CaptureStderr();
  const auto version = ensure_daemon(address);
  const std::string said = ::testing::internal::GetCapturedStderr();
  ASSERT_TRUE(version.ok()) << version.error().message;
  EXPECT_EQ(version->version, "0.1.0");
  std::string pid = text_of(home.path() / "starts");
  pid.pop_back();
  EXPECT_EQ(said, "glm: started the daemon (pid " + pid + ", log " +
                      (home.path() / "logs/daemon.log").string() + ")\n");

  ::testing::internal::CaptureStderr();
  EXPECT_TRUE(ensure_daemon(address).ok());
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
  EXPECT_EQ(starts(), 1);
  EXPECT_EQ(text_of(home.path() / "logs/daemon.log"), "serving\n");
}

TEST_F(DaemonStart, GivesItASessionOfItsOwnAndNoTerminal) {
  ASSERT_TRUE(ensure_daemon(address).ok());
  const pid_t pid = std::stoi(text_of(home.path() / "starts"));
  EXPECT_EQ(::getsid(pid), pid);
  EXPECT_EQ(std::filesystem::read_symlink("/proc/" + std::to_string(pid) + "/fd/0"), "/dev/null");
  EXPECT_EQ(std::filesystem::read_symlink("/proc/" + std::to_string(pid) + "/cwd"), home.path());
}

TEST_F(DaemonStart, StartsOnlyOneForManyCommandsAtOnce) {
  std::vector<Subprocess> children;
  for (int i = 0; i < 8; ++i) {
    SpawnOptions options;
    options.program = GLM_PROGRAM;
    options.arguments = {"ensure"};
    options.environment = {{"GLM_HOST", address.str()}};
    auto child = Subprocess::spawn(options);
    ASSERT_TRUE(child.ok());
    children.push_back(std::move(*child));
  }
  for (Subprocess& child : children) EXPECT_EQ(child.wait()->str(), "exit code 0");
  EXPECT_EQ(starts(), 1);
}

TEST_F(DaemonStart, CallsAnEnvironmentThatNoDaemonTakesWrongUse) {
  for (const auto& [name, value, message] : {
           std::tuple{"GLM_KEEP_ALIVE", "foo", "GLM_KEEP_ALIVE: 'foo' is no duration"},
           std::tuple{"GLM_MAX_LOADED_MODELS", "-1",
                      "GLM_MAX_LOADED_MODELS: '-1' is no number from 0 on"},
       }) {
    ::setenv(name, value, 1);
    const auto version = ensure_daemon(address);
    ::unsetenv(name);
    ASSERT_FALSE(version.ok());
    EXPECT_EQ(version.error().code, Errc::invalid_argument);
    EXPECT_TRUE(version.error().message.starts_with(message)) << version.error().message;
  }
  EXPECT_EQ(starts(), 0);
}

TEST_F(DaemonStart, ShowsTheLogOfADaemonThatDies) {
  ::setenv("GLM_TEST_SERVE", "dies", 1);
  std::filesystem::create_directories(home.path() / "logs");
  std::ofstream(home.path() / "logs/daemon.log") << "an older line\n";
  const auto version = ensure_daemon(address);
  ASSERT_FALSE(version.ok());
  EXPECT_EQ(version.error().code, Errc::unavailable);
  EXPECT_EQ(version.error().message,
            "start the daemon: the daemon ended as soon as it was started; its log " +
                (home.path() / "logs/daemon.log").string() + "\n  first[2J line\n  second line");
}

TEST_F(DaemonStart, PassesOnWhyTheDaemonRefuses) {
  const std::string log = (home.path() / "logs/daemon.log").string();
  ::setenv("GLM_TEST_SERVE", "refuses", 1);
  const auto version = ensure_daemon(address);
  ASSERT_FALSE(version.ok());
  EXPECT_EQ(version.error().code, Errc::corrupt);
  EXPECT_EQ(version.error().message,
            "start the daemon: the index is damaged\n  'glm verify' mends it\n  its log: " + log);
}

TEST_F(DaemonStart, RefusesAPortOfAnotherProgram) {
  fakes::FakeDaemon other;
  other.on("GET /api/version", fakes::FakeAnswer{.status = 404, .lines = {"not here"}});
  const auto version = ensure_daemon(*HostAddress::parse(other.host()));
  ASSERT_FALSE(version.ok());
  EXPECT_EQ(version.error().code, Errc::already_exists);
  EXPECT_EQ(version.error().message, "what listens at " + other.host() +
                                         " is not glm: it answers GET /api/version with status 404 "
                                         "and 'not here '; set GLM_HOST to another address");
  EXPECT_EQ(starts(), 0);
}

TEST_F(DaemonStart, NeverStartsOneForAnotherMachine) {
  const auto version = ensure_daemon(*HostAddress::parse("glm-host.invalid:11435"));
  ASSERT_FALSE(version.ok());
  EXPECT_EQ(version.error().code, Errc::unavailable);
  EXPECT_EQ(version.error().message,
            "no daemon answers at glm-host.invalid:11435; each listens on its own machine's "
            "loopback only: for one of glm-host.invalid run 'ssh -N -L 11436:127.0.0.1:11435 "
            "glm-host.invalid' and set GLM_HOST=127.0.0.1:11436, or unset GLM_HOST for one of this "
            "machine");
  EXPECT_EQ(starts(), 0);
}

TEST_F(DaemonStart, SaysWhenItsFolderCannotBeMade) {
  const std::string file = (home.path() / "file").string();
  std::ofstream(file) << "";
  for (const std::string& named : {file, file + "/home", file + "/a/home"}) {
    ::setenv("GLM_HOME", named.c_str(), 1);
    const auto version = ensure_daemon(address);
    ASSERT_FALSE(version.ok());
    EXPECT_EQ(version.error().code, Errc::invalid_argument);
    EXPECT_EQ(version.error().message,
              "create the folder that GLM_HOME names, " + named + ": " + file +
                  " is not a folder; move it away, or set GLM_HOME to another folder");
  }
}

int serve() {
  const std::string mode = env_or_empty("GLM_TEST_SERVE");
  if (mode == "dies") {
    fmt::print("first\x1b[2J line\nsecond line\n");
    return 3;
  }
  if (mode == "refuses") {
    fmt::print("a line before\nglm: the index is damaged\n  'glm verify' mends it\n");
    return 5;
  }
  std::ofstream(env_or_empty("GLM_HOME") + "/starts", std::ios::app) << ::getpid() << "\n";
  std::ofstream("/dev/stdout") << "serving\n";
  const auto address = HostAddress::parse(env_or_empty("GLM_HOST"));
  httplib::Server server;
  server.Get("/api/version", [](const httplib::Request&, httplib::Response& response) {
    response.set_content(R"({"version":"0.1.0","name":"glm"})", "application/json");
  });
  return server.listen(address->host, address->port) ? 0 : 1;
}

int ensure() {
  const auto version = ensure_daemon(*HostAddress::parse(env_or_empty("GLM_HOST")));
  return version.ok() ? 0 : 1;
}

}  // namespace
}  // namespace glm::testing

int main(int argc, char** argv) {
  if (argc == 2 && std::string(argv[1]) == "serve") return glm::testing::serve();
  if (argc == 2 && std::string(argv[1]) == "ensure") return glm::testing::ensure();
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
