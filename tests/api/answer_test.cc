// What a request's fields may be before any model is looked for.
#include "cmd/api/answer.h"

#include <gtest/gtest.h>

namespace glm::api {
namespace {

TEST(RefuseFields, TakesNothingButNull) {
  for (const Json& value : {Json(false), Json(0), Json(""), Json::array(), Json::object()}) {
    const Status refused = refuse_fields({{"functions", value}}, {"functions"});
    ASSERT_FALSE(refused.ok()) << value;
    EXPECT_EQ(refused.error().code, Errc::unsupported);
    EXPECT_EQ(refused.error().message, "field 'functions' is not supported by this version");
  }
  EXPECT_TRUE(refuse_fields({{"functions", nullptr}, {"other", 1}}, {"functions"}).ok());
}

TEST(RefuseSetFields, PassesWhatAsksForNothing) {
  for (const Json& value :
       {Json(nullptr), Json(false), Json(0), Json(""), Json::array(), Json(0.0)}) {
    EXPECT_TRUE(refuse_set_fields({{"format", value}}, {"format"}).ok()) << value;
  }
  for (const Json& value : {Json::object(), Json("json"), Json(true), Json(1), Json({"a"})}) {
    const Status refused = refuse_set_fields({{"format", value}}, {"format"});
    ASSERT_FALSE(refused.ok()) << value;
    EXPECT_EQ(refused.error().message, "field 'format' is not supported by this version");
  }
}

}  // namespace
}  // namespace glm::api
