#include "runner/text/json_schema.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <ostream>
#include <string>

namespace glm::runner {
namespace {

using Json = nlohmann::ordered_json;

struct Row {
  const char* schema;
  std::string value;
  std::string want;

  friend void PrintTo(const Row& row, std::ostream* out) { *out << row.schema << " " << row.value; }
};

constexpr const char* kString = R"({"type": "string"})";
constexpr const char* kInteger = R"({"type": "integer"})";
constexpr const char* kNumber = R"({"type": "number"})";
constexpr const char* kBoolean = R"({"type": "boolean"})";
constexpr const char* kObject = R"({"type": "object"})";
constexpr const char* kArray = R"({"type": "array", "items": {"type": "integer"}})";
constexpr const char* kNullableText = R"({"type": ["string", "null"]})";
constexpr const char* kEither = R"({"anyOf": [{"type": "string"}, {"type": "integer"}]})";

const Row kRows[] = {
    {kString, "Paris", R"("Paris")"},
    {kString, "  a\n\"b\" \\ \t\x01", R"("  a\n\"b\" \\ \t\u0001")"},
    {kString, "42", R"("42")"},
    {kString, R"({"a": 1})", R"("{\"a\": 1}")"},
    {kString, "null", R"("null")"},
    {kString, "", R"("")"},
    {kInteger, "3", "3"},
    {kInteger, " -12\n", "-12"},
    {kInteger, "3.0", "3"},
    {kInteger, "3.5", R"("3.5")"},
    {kInteger, "0x10", R"("0x10")"},
    {kInteger, "012", R"("012")"},
    {kInteger, "123456789012345678901234567890", "123456789012345678901234567890"},
    {kInteger, "three", R"("three")"},
    {kNumber, "1.50", "1.50"},
    {kNumber, "1e400", R"("1e400")"},
    {kNumber, "-2", "-2"},
    {kNumber, ".5", R"(".5")"},
    {kNumber, "NaN", R"("NaN")"},
    {kBoolean, "true", "true"},
    {kBoolean, "False", "false"},
    {kBoolean, "yes", R"("yes")"},
    {kObject, R"({"z": 1.0, "a": [true, null]})", R"({"z":1.0,"a":[true,null]})"},
    {kObject, "{'a': True, 'b': (1, 'x'), 'c': None}", R"({"a":true,"b":[1,"x"],"c":null})"},
    {kObject, "{'quote': \"it's\", \"u\": '\\u00e9\\n'}", R"({"quote":"it's","u":"é\n"})"},
    {kObject, "[1]", R"("[1]")"},
    {kObject, "{broken", R"("{broken")"},
    {kArray, "[1, 2]", "[1,2]"},
    {kArray, "[1, 'two',]", R"([1,"two"])"},
    {kArray, "1, 2", R"("1, 2")"},
    {kNullableText, "null", "null"},
    {kNullableText, "nul", R"("nul")"},
    {kEither, "7", "7"},
    {kEither, "7 days", R"("7 days")"},
    {R"({"enum": ["1", 2, true]})", "1", R"("1")"},
    {R"({"enum": ["1", 2, true]})", "2", "2"},
    {R"({"enum": ["1", 2, true]})", "TRUE", "true"},
    {R"({"const": "5"})", "5", R"("5")"},
    {R"({"$ref": "#/$defs/count"})", "5", "5"},
    {R"({"$ref": "#/$defs/loop"})", "5", "5"},
    {R"({"allOf": [{"$ref": "#/$defs/city"}, {"minLength": 1}]})", "5", R"("5")"},
    {R"({"$ref": "#/$defs/a~1b"})", "x", R"("x")"},
    {R"({"$ref": "other.json"})", "5", "5"},
    {R"({"properties": {"a": {}}})", "{\"a\": 1}", R"({"a":1})"},
    {R"({})", "5", "5"},
    {R"({})", "[1, 2]", "[1,2]"},
    {R"({})", "text", R"("text")"},
    {R"({})", "", R"("")"},
    {R"(true)", "null", "null"},
    {R"({"type": 5, "anyOf": "x", "enum": 3})", "a", R"("a")"},
};

class ParameterSchemaRows : public testing::TestWithParam<Row> {};

TEST_P(ParameterSchemaRows, DecideTheType) {
  const Json parameters = {{"type", "object"},
                           {"properties", {{"p", Json::parse(GetParam().schema)}}},
                           {"$defs",
                            {{"count", {{"type", "integer"}}},
                             {"city", {{"type", "string"}}},
                             {"a/b", {{"type", "string"}}},
                             {"loop", {{"$ref", "#/$defs/loop"}}}}}};
  const std::string got = ParameterSchema(parameters).to_json("p", GetParam().value);
  EXPECT_EQ(got, GetParam().want);
  EXPECT_TRUE(Json::accept(got)) << got;
}

INSTANTIATE_TEST_SUITE_P(All, ParameterSchemaRows, testing::ValuesIn(kRows),
                         [](const auto& test) { return std::to_string(test.index); });

TEST(ParameterSchema, SaysWhatIsCertainlyText) {
  const ParameterSchema schema(Json{{"properties",
                                     {{"s", {{"type", "string"}}},
                                      {"n", {{"type", {"string", "null"}}}},
                                      {"i", {{"type", "integer"}}},
                                      {"x", Json::object()}}}});
  EXPECT_TRUE(schema.is_text("s"));
  EXPECT_FALSE(schema.is_text("n"));
  EXPECT_FALSE(schema.is_text("i"));
  EXPECT_FALSE(schema.is_text("x"));
  EXPECT_FALSE(schema.is_text("unknown"));
}

TEST(ParameterSchema, IgnoresSchemasThatAreNone) {
  for (const char* text :
       {"null", "5", "[]", R"({"properties": []})", R"({"properties": {"p": 1}})"}) {
    EXPECT_EQ(ParameterSchema(Json::parse(text)).to_json("p", "a"), "\"a\"") << text;
  }
}

}  // namespace
}  // namespace glm::runner
