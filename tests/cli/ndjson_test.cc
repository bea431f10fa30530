#include "cmd/cli/ndjson.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace glm {
namespace {

constexpr std::string_view kStream = "{\"a\":1}\n\n{\"b\":\"\xC3\xA4\"}\r\n{\"c\":[]}";

TEST(NdjsonReader, ReadsTheSameWhereverTheBytesAreCut) {
  for (std::size_t first = 0; first <= kStream.size(); ++first) {
    for (std::size_t second = first; second <= kStream.size(); ++second) {
      std::vector<std::string> lines;
      const auto each = [&](const Json& json) -> Status {
        lines.push_back(json.dump());
        return Ok{};
      };
      NdjsonReader reader;
      ASSERT_TRUE(reader.push(kStream.substr(0, first), each).ok());
      ASSERT_TRUE(reader.push(kStream.substr(first, second - first), each).ok());
      ASSERT_TRUE(reader.push(kStream.substr(second), each).ok());
      ASSERT_TRUE(reader.finish(each).ok());
      ASSERT_EQ(lines,
                (std::vector<std::string>{"{\"a\":1}", "{\"b\":\"\xC3\xA4\"}", "{\"c\":[]}"}));
    }
  }
}

TEST(NdjsonReader, RefusesLinesThatAreNoObjects) {
  const auto each = [](const Json&) -> Status { return Ok{}; };
  for (const char* line :
       {"hello\n", "[1]\n", "1\n", "{\"a\":}\n", "null\n", "{\"a\":\"\xFF\"}\n"}) {
    NdjsonReader reader;
    const Status status = reader.push(line, each);
    ASSERT_FALSE(status.ok()) << line;
    EXPECT_EQ(status.error().code, Errc::corrupt);
  }
  NdjsonReader reader;
  EXPECT_EQ(reader.push("<html>\x1b[2J</html>\n", each).error().message,
            "the answer has a line that is no JSON object: '<html>[2J</html>'");
  NdjsonReader cut;
  ASSERT_TRUE(cut.push("{\"a\":", each).ok());
  EXPECT_FALSE(cut.finish(each).ok());
}

TEST(NdjsonReader, RefusesALineWithoutEnd) {
  const auto each = [](const Json&) -> Status { return Ok{}; };
  NdjsonReader reader;
  const std::string megabyte(1 << 20, ' ');
  Status status = Ok{};
  for (int i = 0; i < 20 && status.ok(); ++i) status = reader.push(megabyte, each);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, Errc::corrupt);
}

TEST(NdjsonReader, PassesOnWhatTheCallerSays) {
  NdjsonReader reader;
  int calls = 0;
  const auto each = [&](const Json&) -> Status {
    ++calls;
    return make_error(Errc::exhausted, "enough");
  };
  EXPECT_EQ(reader.push("{}\n{}\n", each).error().message, "enough");
  EXPECT_EQ(calls, 1);
}

}  // namespace
}  // namespace glm
