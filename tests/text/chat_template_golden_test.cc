// Replays tests/golden/text/templates.json: what Jinja 3.1, set up as transformers does it, gives.
#include <gtest/gtest.h>

#include <ostream>
#include <string>
#include <vector>

#include "runner/text/chat_template.h"
#include "tests/text/read_json.h"

namespace glm::runner {
namespace {

using Json = nlohmann::ordered_json;

struct Case {
  Json json;

  friend void PrintTo(const Case& row, std::ostream* out) { *out << row.json["name"]; }
};

const Json& golden() {
  static const Json file = source_json("tests/golden/text/templates.json");
  return file;
}

std::vector<Case> cases() {
  std::vector<Case> out;
  if (golden().is_object()) {
    for (const Json& entry : golden()["cases"]) out.push_back({entry});
  }
  return out;
}

class ChatTemplateGolden : public testing::TestWithParam<Case> {};

TEST_P(ChatTemplateGolden, RendersAsJinjaDoes) {
  const Json& entry = GetParam().json;
  const bool from_file = entry.contains("file");
  const std::string source = from_file ? source_file(entry["file"].get<std::string>())
                                       : entry["template"].get<std::string>();
  if (from_file && source.empty()) GTEST_SKIP() << entry["file"] << " is not in this tree";
  const Json& context = entry["context"] == "DATA" ? golden()["data"] : entry["context"];

  auto parsed = ChatTemplate::parse(source);
  auto rendered = parsed.ok() ? parsed->render(context) : Result<std::string>(parsed.error());
  if (entry.contains("fails")) {
    EXPECT_FALSE(rendered.ok()) << source << "\ngave " << *rendered;
    return;
  }
  ASSERT_TRUE(rendered.ok()) << rendered.error().message << "\n" << source;
  EXPECT_EQ(*rendered, entry["want"].get<std::string>()) << source;
}

INSTANTIATE_TEST_SUITE_P(All, ChatTemplateGolden, testing::ValuesIn(cases()),
                         [](const auto& test) { return test.param.json["name"]; });

TEST(ChatTemplateGoldenFile, IsThere) {
  ASSERT_TRUE(golden().is_object());
}

}  // namespace
}  // namespace glm::runner
