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

TEST(Routes, NameNoPathAndMethodTwice) {
  std::set<std::pair<std::string_view, std::string_view>> seen;
  for (const Route& route : routes()) {
    EXPECT_TRUE(seen.emplace(route.method, route.path).second) << route.path;
  }
}

}  // namespace
}  // namespace glm::api
