#include "modelfiles/nearest_model.h"

#include <gtest/gtest.h>

#include <vector>

namespace glm::modelfiles {
namespace {

TEST(NearestModel, IsOneThatIsHere) {
  const std::vector<std::string> here = {"tiny:latest", "glm-4.7-flash:awq", "org/name:v2"};
  EXPECT_EQ(nearest_model("tinny", here), "; did you mean 'tiny'?");
  EXPECT_EQ(nearest_model("tiny:latst", here), "; did you mean 'tiny'?");
  EXPECT_EQ(nearest_model("glm-4.7-flsh:awq", here), "; did you mean 'glm-4.7-flash:awq'?");
  EXPECT_EQ(nearest_model("org/nme:v2", here), "; did you mean 'org/name:v2'?");
  EXPECT_EQ(nearest_model("nothing-alike", here), "");
  EXPECT_EQ(nearest_model("tinny", {}), "");
}

TEST(NearestModel, IsAnotherTagOfTheSame) {
  const std::vector<std::string> here = {"glm-4.7-flash:awq", "tiny:latest", "org/name:v2"};
  EXPECT_EQ(nearest_model("glm-4.7-flash", here), "; did you mean 'glm-4.7-flash:awq'?");
  EXPECT_EQ(nearest_model("Tiny:int4-packed", here), "; did you mean 'tiny'?");
  EXPECT_EQ(nearest_model("org/name@main", here), "; did you mean 'org/name:v2'?");
  EXPECT_EQ(nearest_model("glm-4.7-flsh:int9", here), "; did you mean 'glm-4.7-flash:awq'?");
}

TEST(NearestModel, IsTheFirstOfThoseThatAreEquallyNear) {
  const std::vector<std::string> both = {"tint:latest", "tins:latest"};
  EXPECT_EQ(nearest_model("tin", both), "; did you mean 'tint'?");
}

}  // namespace
}  // namespace glm::modelfiles
