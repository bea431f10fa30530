#include "cmd/host_address.h"

#include <gtest/gtest.h>

#include <cstdlib>

namespace glm {
namespace {

struct Good {
  const char *text, *str;
  bool loopback;
};

TEST(HostAddress, IsReadAsPeopleWriteIt) {
  constexpr Good kGood[] = {
      {"", "127.0.0.1:11435", true},
      {"127.0.0.1", "127.0.0.1:11435", true},
      {"127.0.0.1:80", "127.0.0.1:80", true},
      {"localhost:1", "localhost:1", true},
      {":8080", "127.0.0.1:8080", true},
      {"0.0.0.0:8080", "0.0.0.0:8080", false},
      {"127.evil.example", "127.evil.example:11435", false},
      {"http://gpu-box", "gpu-box:11435", false},
      {"http://gpu-box:65535/", "gpu-box:65535", false},
      {"https://gpu-box.example", "https://gpu-box.example:443", false},
      {"[::1]:80", "[::1]:80", true},
      {"[::1]", "[::1]:11435", true},
      {"::1", "[::1]:11435", true},
      {"[::]:9", "[::]:9", false},
      {"http://[fe80::1]:9/", "[fe80::1]:9", false},
  };
  for (const Good& good : kGood) {
    const auto address = HostAddress::parse(good.text);
    ASSERT_TRUE(address.ok()) << good.text << ": " << address.error().message;
    EXPECT_EQ(address->str(), good.str) << good.text;
    EXPECT_EQ(address->is_loopback(), good.loopback) << good.text;
  }
}

TEST(HostAddress, RefusesWhatIsNone) {
  for (const char* text :
       {"a:b", "a:", "a:0", "a:65536", "a:-1", "a:1x", "a b", "a/b", "[::1", "[]:80", "[::1]80",
        "[::1]:", "ftp://a", "a?b", "\x1b[2J", "a:99999999999999999999"}) {
    const auto address = HostAddress::parse(text);
    EXPECT_FALSE(address.ok()) << text;
  }
  EXPECT_EQ(HostAddress::parse("box:port").error().message,
            "'box:port' is no address of a daemon; write host:port such as 127.0.0.1:11435");
}

TEST(ListenAddress, MustBeOfThisMachineAlone) {
  EXPECT_EQ(listen_address("localhost:5")->str(), "127.0.0.1:5");
  EXPECT_EQ(listen_address("::1")->str(), "[::1]:11435");
  for (const char* text : {"0.0.0.0:1", "192.168.1.2", "example.org:80", "[::]:1", "https://127.0.0.1"}) {
    const Result<HostAddress> address = listen_address(text);
    ASSERT_FALSE(address.ok()) << text;
    EXPECT_EQ(address.error().code, Errc::unsupported) << text;
  }
  EXPECT_EQ(listen_address("0.0.0.0:81").error().message,
            "0.0.0.0:81 is not of this machine alone: without API keys the daemon listens on "
            "loopback only, such as 127.0.0.1:81 (GLM_HOST=127.0.0.1:81)");
  EXPECT_EQ(listen_address("https://127.0.0.1").error().message,
            "https://127.0.0.1:443: the daemon speaks no TLS; it listens at an address such as "
            "127.0.0.1:11435");
}

TEST(PeerAddress, IsNoneForAllNetworks) {
  for (const std::string host : {"0.0.0.0", "[::]"}) {
    const Result<HostAddress> address = peer_address(host + ":81");
    ASSERT_FALSE(address.ok()) << host;
    EXPECT_EQ(address.error().code, Errc::unsupported);
    EXPECT_EQ(address.error().message,
              "no daemon can listen at " + host +
                  ":81: it has no API keys and serves this machine only; use 127.0.0.1:81 "
                  "(GLM_HOST=127.0.0.1:81)");
  }
  EXPECT_EQ(peer_address("192.168.1.2:5")->str(), "192.168.1.2:5");
}

TEST(DaemonAddress, PrefersTheFlagAndNamesWhereAMistakeIs) {
  ::setenv("GLM_HOST", "other:1", 1);
  EXPECT_EQ(daemon_address("")->str(), "other:1");
  EXPECT_EQ(daemon_address("mine:2")->str(), "mine:2");
  EXPECT_TRUE(daemon_address("x y").error().message.starts_with("--host: "));
  ::setenv("GLM_HOST", "x y", 1);
  EXPECT_TRUE(daemon_address("").error().message.starts_with("GLM_HOST: "));
  ::unsetenv("GLM_HOST");
  EXPECT_EQ(daemon_address("")->str(), "127.0.0.1:11435");
}

}  // namespace
}  // namespace glm
