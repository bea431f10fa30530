#include "cmd/outcome.h"

#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <sstream>
#include <string>

namespace glm {
namespace {

constexpr Errc kAll[] = {Errc::invalid_argument, Errc::not_found,   Errc::already_exists,
                         Errc::corrupt,          Errc::unsupported, Errc::permission,
                         Errc::exhausted,        Errc::unavailable, Errc::cancelled,
                         Errc::device,           Errc::internal,    Errc::context_length_exceeded};

TEST(Outcome, KnowsEveryCodeOnce) {
  std::set<Errc> codes;
  std::set<int> exits;
  for (const Outcome& row : outcomes()) {
    EXPECT_TRUE(codes.insert(row.code).second) << name(row.code);
    EXPECT_TRUE(exits.insert(row.exit_code).second) << row.exit_code;
    EXPECT_GE(row.http_status, 400);
    EXPECT_LT(row.http_status, 600);
    EXPECT_GT(row.exit_code, 0);
  }
  for (const Errc code : kAll) EXPECT_EQ(outcome(code).code, code);
  EXPECT_EQ(codes.size(), std::size(kAll));
}

TEST(Outcome, ComesBackFromItsName) {
  for (const Errc code : kAll) EXPECT_EQ(errc_from_name(name(code)), code);
  EXPECT_EQ(errc_from_name("teapot"), std::nullopt);
  EXPECT_EQ(errc_from_name(""), std::nullopt);
}

TEST(Outcome, ComesBackFromAStatusAsTheSameKind) {
  EXPECT_EQ(errc_from_http_status(400), Errc::invalid_argument);
  EXPECT_EQ(errc_from_http_status(403), Errc::permission);
  EXPECT_EQ(errc_from_http_status(404), Errc::not_found);
  EXPECT_EQ(errc_from_http_status(409), Errc::already_exists);
  EXPECT_EQ(errc_from_http_status(499), Errc::cancelled);
  EXPECT_EQ(errc_from_http_status(500), Errc::internal);
  EXPECT_EQ(errc_from_http_status(503), Errc::unavailable);
  EXPECT_EQ(errc_from_http_status(418), Errc::internal);
}

// Scripts depend on these: a change here is a change for users.
TEST(Outcome, KeepsItsExitCodes) {
  EXPECT_EQ(outcome(Errc::internal).exit_code, 1);
  EXPECT_EQ(outcome(Errc::invalid_argument).exit_code, 2);
  EXPECT_EQ(outcome(Errc::not_found).exit_code, 3);
  EXPECT_EQ(outcome(Errc::already_exists).exit_code, 4);
  EXPECT_EQ(outcome(Errc::corrupt).exit_code, 5);
  EXPECT_EQ(outcome(Errc::unavailable).exit_code, 6);
  EXPECT_EQ(outcome(Errc::unsupported).exit_code, 7);
  EXPECT_EQ(outcome(Errc::permission).exit_code, 8);
  EXPECT_EQ(outcome(Errc::exhausted).exit_code, 9);
  EXPECT_EQ(outcome(Errc::device).exit_code, 10);
  EXPECT_EQ(outcome(Errc::context_length_exceeded).exit_code, 11);
  EXPECT_EQ(outcome(Errc::cancelled).exit_code, 130);
}

TEST(Outcome, IsInTheHelp) {
  const std::string help = exit_codes_help();
  std::istringstream lines(help);
  for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 79u) << line;
  for (const Outcome& row : outcomes()) {
    EXPECT_NE(help.find(fmt::format("{} {}", row.exit_code, row.meaning)), std::string::npos);
  }
}

TEST(Outcome, IsInTheDocuments) {
  std::ifstream file(std::string(GLM_SOURCE_DIR) + "/docs/cli.md");
  std::stringstream text;
  text << file.rdbuf();
  for (const Outcome& row : outcomes()) {
    const std::string line = fmt::format("| {} | {} | {} | {} |", row.exit_code, row.meaning,
                                         name(row.code), row.http_status);
    EXPECT_NE(text.str().find(line), std::string::npos) << "docs/cli.md lacks: " << line;
  }
}

}  // namespace
}  // namespace glm
