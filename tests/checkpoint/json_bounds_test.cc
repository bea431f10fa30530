#include "runner/checkpoint/json_bounds.h"

#include <gtest/gtest.h>

namespace glm::runner {
namespace {

std::string answer(std::string_view text, const JsonBounds& bounds) {
  const Status status = check_json_bounds(text, bounds);
  return status.ok() ? "" : status.error().message;
}

TEST(JsonBounds, CountLevelsAndValuesOutsideStrings) {
  EXPECT_EQ(answer("[[1]]", {.depth_max = 2}), "");
  EXPECT_EQ(answer("[[[1]]]", {.depth_max = 2}), "nested deeper than 2 levels");
  EXPECT_EQ(answer("[[],[],[],[]]", {.depth_max = 2}), "");
  EXPECT_EQ(answer(R"(["[[[[", "\"[[[["])", {.depth_max = 1}), "");
  EXPECT_EQ(answer(R"({"a":["\\",[]]})", {.depth_max = 2}), "nested deeper than 2 levels");
  EXPECT_EQ(answer("[1,2,3]", {.values_max = 4}), "");
  EXPECT_EQ(answer("[1,2,3,4]", {.values_max = 4}), "more than 4 values");
  EXPECT_EQ(answer(R"(["a,,,,,,,,b"])", {.values_max = 2}), "");
}

TEST(JsonBounds, LeaveNonsenseToTheParser) {
  for (const char* text : {"", "]]]]", "}", "\"", "\"\\", "[", "nonsense"}) {
    EXPECT_EQ(answer(text, {}), "") << text;
  }
}

}  // namespace
}  // namespace glm::runner
