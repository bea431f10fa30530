#include "cmd/api/routes.h"

#include <gtest/gtest.h>

#include <set>

namespace glm::api {
namespace {

const Route kModel = {"GET", "/v1/models/*", nullptr, false};
const Route kModels = {"GET", "/v1/models", nullptr, false};

TEST(Routes, StandForOnePathOrForAllThatBeginSo) {
  EXPECT_TRUE(matches(kModels, "/v1/models"));
  EXPECT_FALSE(matches(kModels, "/v1/models/x"));
  EXPECT_TRUE(matches(kModel, "/v1/models/org/name@v1"));
  EXPECT_EQ(rest_of(kModel, "/v1/models/org/name@v1"), "org/name@v1");
  EXPECT_FALSE(matches(kModel, "/v1/models"));
  EXPECT_FALSE(matches(kModel, "/v1/models/"));
  EXPECT_FALSE(matches(kModel, "/v1/modelsx"));
}

TEST(Routes, AreSuggestedForPathsNearThem) {
  const std::string chat = "; did you mean '/v1/chat/completions'?";
  EXPECT_EQ(path_hint("/chat/completions"), chat);  // a base URL without /v1
  EXPECT_EQ(path_hint("/completions"), "; did you mean '/v1/completions'?");
  EXPECT_EQ(path_hint("/v1/v1/chat/completions"), chat);
  EXPECT_EQ(path_hint("/v1/chat/completions/"), chat);
  EXPECT_EQ(path_hint("/v1/chat/completion"), chat);
  EXPECT_EQ(path_hint("//api/tags"), "; did you mean '/api/tags'?");
  EXPECT_EQ(path_hint("/api/tag"), "; did you mean '/api/tags'?");
  EXPECT_EQ(path_hint("/v1/models/"), "; did you mean '/v1/models'?");
  for (const char* far : {"/", "//", "", "/v1", "/api", "/api/embed", "/v1/messages", "/s"}) {
    EXPECT_EQ(path_hint(far), "") << far;
  }
}

TEST(Routes, NameNoPathAndMethodTwice) {
  std::set<std::pair<std::string_view, std::string_view>> seen;
  for (const Route& route : routes()) {
    EXPECT_TRUE(seen.emplace(route.method, route.path).second) << route.path;
  }
}

}  // namespace
}  // namespace glm::api
