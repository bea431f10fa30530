#include "cmd/daemon/pid_file.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "tests/fakes/temp_dir.h"

namespace glm::daemon {
namespace {

// A lock belongs to an open file, not to a process: a second try here is one of another daemon.
TEST(PidFile, SaysWhoServesTheFolderAndWhere) {
  const fakes::TempDir home;
  const auto path = home.path() / "daemon.pid";
  {
    const auto first = PidFile::acquire(path, "127.0.0.1:81");
    ASSERT_TRUE(first.ok()) << first.error().message;
    EXPECT_EQ(PidFile::holder(path), ::getpid());
    const auto second = PidFile::acquire(path, "127.0.0.1:82");
    ASSERT_FALSE(second.ok());
    EXPECT_EQ(second.error().code, Errc::already_exists);
    EXPECT_EQ(second.error().message,
              "another daemon (pid " + std::to_string(::getpid()) +
                  " at 127.0.0.1:81) already serves " + home.path().string() +
                  "; use it with GLM_HOST=127.0.0.1:81, stop it with 'glm stop --all', or choose "
                  "another folder with GLM_HOME");
    EXPECT_TRUE(PidFile::check_not_elsewhere(path, "127.0.0.1:81").ok());
    EXPECT_EQ(PidFile::check_not_elsewhere(path, "127.0.0.1:82").error().message,
              second.error().message);
    // As an older version leaves it.
    std::filesystem::remove(home.path() / "daemon.host");
    EXPECT_EQ(PidFile::acquire(path, "x").error().message,
              "another daemon (pid " + std::to_string(::getpid()) + ") already serves " +
                  home.path().string() +
                  "; stop it with 'glm stop --all', or choose another folder with GLM_HOME");
  }
  EXPECT_TRUE(std::filesystem::is_empty(home.path()));
}

TEST(PidFile, TakesOverWhatACrashLeft) {
  const fakes::TempDir home;
  std::ofstream(home.path() / "daemon.pid") << "12345678\n";
  std::ofstream(home.path() / "daemon.host") << "127.0.0.1:65432\n";
  const auto path = home.path() / "daemon.pid";
  EXPECT_EQ(PidFile::holder(path), std::nullopt);
  EXPECT_TRUE(PidFile::check_not_elsewhere(path, "[::1]:8").ok());
  ASSERT_TRUE(PidFile::acquire(path, "[::1]:8").ok());
  const auto file = PidFile::acquire(path, "[::1]:9");
  ASSERT_TRUE(file.ok());
  std::string host;
  std::ifstream(home.path() / "daemon.host") >> host;
  EXPECT_EQ(host, "[::1]:9");
}

}  // namespace
}  // namespace glm::daemon
