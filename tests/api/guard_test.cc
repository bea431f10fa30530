// Which Host and Origin headers may reach the daemon, row by row.
#include "cmd/api/guard.h"

#include <gtest/gtest.h>

namespace glm::api {
namespace {

struct Case {
  const char* name;
  const char* host;
  const char* origin;
  bool allowed;
};

const Case kCases[] = {
    {"no_headers", "", "", true},
    {"localhost", "localhost", "", true},
    {"localhost_port", "LocalHost:11435", "", true},
    {"trailing_dot", "localhost.:11435", "", true},
    {"v4", "127.0.0.1:11435", "", true},
    {"v4_other_loopback", "127.1.2.3", "", true},
    {"v6", "[::1]:11435", "", true},
    {"v6_without_port", "[::1]", "", true},
    {"rebound_name", "evil.example:11435", "", false},
    {"name_that_begins_like_loopback", "127.0.0.1.evil.example", "", false},
    {"name_that_begins_like_localhost", "localhost.evil.example", "", false},
    {"too_few_numbers", "127.1", "", false},
    {"too_many_numbers", "127.0.0.1.5", "", false},
    {"port_is_no_number", "localhost:80x", "", false},
    {"port_is_empty", "localhost:", "", false},
    {"userinfo_trick", "localhost@evil.example", "", false},
    {"unclosed_bracket", "[::1", "", false},
    {"other_v6", "[::2]:1", "", false},
    {"any_address", "0.0.0.0:11435", "", false},
    {"page_from_localhost", "localhost:11435", "http://localhost:3000", true},
    {"page_from_v4", "127.0.0.1:11435", "https://127.0.0.1", true},
    {"page_from_v6", "127.0.0.1:11435", "http://[::1]:8080", true},
    {"foreign_page", "localhost:11435", "https://evil.example", false},
    {"foreign_page_named_like_us", "localhost:11435", "http://localhost.evil.example", false},
    {"sandboxed_page", "localhost:11435", "null", false},
    {"file_page", "localhost:11435", "file://", false},
    {"origin_without_scheme", "localhost:11435", "localhost:3000", false},
    {"origin_with_userinfo", "localhost:11435", "http://localhost:1@evil.example", false},
};

class Guard : public testing::TestWithParam<Case> {};

TEST_P(Guard, LetsOnlyThisMachineIn) {
  EXPECT_EQ(check_origin(GetParam().host, GetParam().origin).ok(), GetParam().allowed);
}

INSTANTIATE_TEST_SUITE_P(All, Guard, testing::ValuesIn(kCases),
                         [](const auto& test) { return std::string(test.param.name); });

TEST(GuardMessages, SayWhoWasRefused) {
  EXPECT_EQ(check_origin("evil.example", "").error().message,
            "the Host header names 'evil.example', this daemon answers to localhost and 127.0.0.1 "
            "only");
  EXPECT_EQ(check_origin("localhost", "https://evil.example").error().message,
            "requests from web pages of 'https://evil.example' are refused; pages served from "
            "localhost may ask");
}

}  // namespace
}  // namespace glm::api
