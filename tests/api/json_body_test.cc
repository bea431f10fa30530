#include "cmd/api/json_body.h"

#include <gtest/gtest.h>

namespace glm::api {
namespace {

TEST(JsonBody, RefusesWhatIsNoObject) {
  EXPECT_EQ(parse_body("").error().message, "missing request body: a JSON object is wanted");
  EXPECT_EQ(parse_body(" \n").error().message, "missing request body: a JSON object is wanted");
  EXPECT_EQ(
      parse_body("{").error().message,
      "request body is not valid JSON: line 1, column 2: syntax error while parsing object key "
      "- unexpected end of input; expected string literal");
  EXPECT_EQ(parse_body("{} x").error().message,
            "request body is not valid JSON: line 1, column 4: syntax error while parsing value - "
            "invalid literal");
  EXPECT_EQ(parse_body("[1]").error().message, "request body wants a JSON object, got a list");
  EXPECT_TRUE(parse_body("{\"b\": 1, \"a\": 2}").ok());
}

TEST(JsonBody, NamesThePlaceOfAMistake) {
  const auto place = [](std::string_view body) {
    const std::string message = parse_body(body).error().message;
    const std::string_view rest = std::string_view(message).substr(message.find("line "));
    return std::string(rest.substr(0, rest.find(": ")));
  };
  EXPECT_EQ(place("{\"a\": 1,\n \"b\" 2}"), "line 2, column 6");
  EXPECT_EQ(place("{\"a\": 1,\n\n}"), "line 3, column 1");
  EXPECT_EQ(place("{\"a\": \"\xFF\"}"), "line 1, column 8");
  EXPECT_LT(parse_body("{\"a\": " + std::string(100'000, 'x') + "}").error().message.size(), 250u);
}

TEST(JsonBody, IsNotDraggedIntoDepth) {
  const std::string deep = "{\"a\":" + std::string(1'000'000, '[');
  EXPECT_EQ(parse_body(deep).error().message, "request body is nested deeper than 128 levels");
}

TEST(JsonBody, BoundsTheKeysOfOneObject) {
  const auto object = [](int keys) {
    std::string text = "{\"x\":{\"y\":1},\"z\":{";
    for (int i = 0; i < keys; ++i) text += (i > 0 ? ",\"" : "\"") + std::to_string(i) + "\":0";
    return text + "}}";
  };
  EXPECT_TRUE(parse_body(object(4096)).ok());
  EXPECT_EQ(parse_body(object(4097)).error().message,
            "request body has an object of more than 4096 keys");
}

TEST(JsonBody, KeepsTheClientsOrder) {
  EXPECT_EQ(dump(*parse_body("{\"b\":1,\"a\":{\"z\":1,\"y\":2}}")), "{\"b\":1,\"a\":{\"z\":1,\"y\":2}}");
}

TEST(JsonBody, NamesTheFieldOfAWrongType) {
  const Json body = *parse_body(R"({"s": 1, "i": 1.5, "b": "yes", "n": [], "ok": 5.0, "z": null})");
  EXPECT_EQ(text(body, "s").error().message, "field 's' wants a string, got an integer");
  EXPECT_EQ(integer(body, "i").error().message, "field 'i' wants an integer, got a number");
  EXPECT_EQ(boolean(body, "b").error().message, "field 'b' wants true or false, got a string");
  EXPECT_EQ(number(body, "n").error().message, "field 'n' wants a number, got a list");
  EXPECT_EQ(**integer(body, "ok"), 5);
  EXPECT_FALSE(text(body, "z")->has_value());
  EXPECT_EQ(required_text(body, "z").error().message, "z is required");
}

TEST(JsonBody, WritesBytesThatAreNotUtf8) {
  EXPECT_EQ(dump(Json{{"a", "\xff"}}), "{\"a\":\"\xEF\xBF\xBD\"}");
}

}  // namespace
}  // namespace glm::api
