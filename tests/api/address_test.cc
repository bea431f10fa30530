#include <gtest/gtest.h>

#include "cmd/api/http_server.h"

namespace glm::api {
namespace {

TEST(Address, IsReadAsPeopleWriteIt) {
  const auto expect = [](std::string_view text, const std::string& host, int port) {
    const Result<Address> address = parse_address(text);
    ASSERT_TRUE(address.ok()) << text << ": " << address.error().message;
    EXPECT_EQ(address->host, host) << text;
    EXPECT_EQ(address->port, port) << text;
  };
  expect("", "127.0.0.1", 11435);
  expect("127.0.0.1:11435", "127.0.0.1", 11435);
  expect("localhost", "127.0.0.1", 11435);
  expect(":8080", "127.0.0.1", 8080);
  expect("http://127.0.0.1:9000/", "127.0.0.1", 9000);
  expect("[::1]:9000", "::1", 9000);
  expect("127.0.0.1:0", "127.0.0.1", 0);
}

TEST(Address, MustBeOfThisMachineAlone) {
  for (const char* text : {"0.0.0.0:11435", "192.168.1.2", "example.org:80", "[::]:1"}) {
    const Result<Address> address = parse_address(text);
    ASSERT_FALSE(address.ok()) << text;
    EXPECT_EQ(address.error().code, Errc::unsupported) << text;
  }
}

TEST(Address, SaysWhatIsWrong) {
  for (const char* text : {"127.0.0.1:x", "127.0.0.1:70000", "127.0.0.1:", "[::1"}) {
    const Result<Address> address = parse_address(text);
    ASSERT_FALSE(address.ok()) << text;
    EXPECT_EQ(address.error().code, Errc::invalid_argument) << text;
  }
}

}  // namespace
}  // namespace glm::api
