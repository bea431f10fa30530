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

TEST(CheckTools, NamesTheOneThatIsNoFunction) {
  struct Case {
    const char* tools;
    const char* message;
  };
  const Case kCases[] = {
      {R"({"function": {"name": "f"}})", "field 'tools' wants a list, got an object"},
      {R"(["f"])", "tools[0]: an object with a 'function' is wanted, got a string"},
      {R"([{"type": "function", "function": {"name": "f"}}, {"type": "web_search"}])",
       "tools[1]: field 'function' is missing, an object with 'name' and 'parameters' is wanted; "
       "only tools that are functions can be called here"},
      {R"([{"name": "f", "parameters": {}, "function": null}])",
       "tools[0]: field 'function' is missing, an object with 'name' and 'parameters' is wanted; "
       "only tools that are functions can be called here"},
      {R"([{"function": "f"}])",
       "tools[0]: field 'function' wants an object with 'name' and 'parameters', got a string"},
      {R"([{"function": {}}])", "tools[0]: function: name is required"},
      {R"([{"function": {"name": 7}}])",
       "tools[0]: function: field 'name' wants a string, got an integer"},
  };
  for (const Case& test : kCases) {
    const Status checked = check_tools(Json::parse(test.tools));
    ASSERT_FALSE(checked.ok()) << test.tools;
    EXPECT_EQ(checked.error().code, Errc::invalid_argument);
    EXPECT_EQ(checked.error().message, test.message);
  }
  EXPECT_TRUE(check_tools(nullptr).ok());
  EXPECT_TRUE(check_tools(Json::array()).ok());
  EXPECT_TRUE(check_tools(Json::parse(R"([{"function": {"name": "f"}}])")).ok());
}

}  // namespace
}  // namespace glm::api
