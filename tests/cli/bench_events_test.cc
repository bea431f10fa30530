#include "cmd/cli/bench_events.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace glm::bench {
namespace {

using Kind = CompletionEvent::Kind;

std::vector<std::string> events_in(std::initializer_list<std::string_view> pieces) {
  EventReader reader;
  std::vector<std::string> events;
  for (const std::string_view piece : pieces) {
    EXPECT_TRUE(reader.push(piece, [&](std::string_view data) { events.emplace_back(data); }).ok());
  }
  return events;
}

TEST(EventReader, FindsTheSameEventsUnderAnySplit) {
  const std::string stream =
      ": a comment\r\n\r\ndata: one\n\ndata:two\r\n\r\nevent: x\ndata: three\ndata: lines\nid: "
      "7\n\n"
      "\n\ndata:\n\ndata: unfinished\n";
  const std::vector<std::string> want = {"one", "two", "three\nlines", ""};
  for (std::size_t a = 0; a <= stream.size(); ++a) {
    for (std::size_t b = a; b <= stream.size(); ++b) {
      const std::string_view text = stream;
      ASSERT_EQ(events_in({text.substr(0, a), text.substr(a, b - a), text.substr(b)}), want)
          << a << " " << b;
    }
  }
}

TEST(EventReader, RefusesAnEventWithoutEnd) {
  EventReader reader;
  const std::string piece(1 << 20, 'x');
  Status pushed = Ok{};
  for (int i = 0; i < 8 && pushed.ok(); ++i) {
    pushed = reader.push(piece, [](std::string_view) {});
  }
  ASSERT_FALSE(pushed.ok());
  EXPECT_EQ(pushed.error().message, "an event of the stream is longer than 4194304 bytes");
}

TEST(ReadEvent, TellsTokensFromTheRest) {
  EXPECT_EQ(read_event("[DONE]").kind, Kind::done);
  EXPECT_EQ(read_event(R"({"id":"x","choices":[{"index":0,"text":""}]})").kind, Kind::tokens);
  EXPECT_EQ(read_event("{\n  \"choices\" : [\n {\"text\": \"a\"}]}").kind, Kind::tokens);
  EXPECT_EQ(read_event(R"({"choices":[]})").kind, Kind::other);
  EXPECT_EQ(read_event(R"({"choices":null})").kind, Kind::other);
  EXPECT_EQ(read_event(R"({"id":"x"})").kind, Kind::other);
  EXPECT_EQ(read_event("").kind, Kind::other);
}

TEST(ReadEvent, IsNotMisledByWhatATextSays) {
  const nlohmann::json tricky = {
      {"choices",
       {{{"index", 0}, {"text", R"("error": {"message": "no"}, "completion_tokens": 9)"}}}}};
  const CompletionEvent event = read_event(tricky.dump());
  EXPECT_EQ(event.kind, Kind::tokens);
  EXPECT_EQ(event.output_tokens, 0);
}

TEST(ReadEvent, ReadsUsageWhereverItStands) {
  const CompletionEvent alone = read_event(
      R"({"choices":[],"usage":{"prompt_tokens":512,"total_tokens":768,"completion_tokens":256}})");
  EXPECT_EQ(alone.kind, Kind::usage);
  EXPECT_EQ(alone.prompt_tokens, 512);
  EXPECT_EQ(alone.output_tokens, 256);
  const CompletionEvent last = read_event(
      R"({"choices":[{"text":"a"}],"usage":{"prompt_tokens": 3, "completion_tokens": 2}})");
  EXPECT_EQ(last.kind, Kind::tokens);
  EXPECT_EQ(last.prompt_tokens, 3);
  EXPECT_EQ(last.output_tokens, 2);
  EXPECT_EQ(read_event(R"({"choices":[{"text":"a"}],"usage":null})").output_tokens, 0);
}

TEST(ReadEvent, FindsTheMessageOfAnError) {
  for (const char* data : {R"({"error":{"message":"out of pages","type":"api_error"}})",
                           R"({"error":"out of pages"})"}) {
    const CompletionEvent event = read_event(data);
    EXPECT_EQ(event.kind, Kind::error) << data;
    EXPECT_EQ(event.message, "out of pages") << data;
  }
}

TEST(ErrorMessage, KnowsTheShapesOfServers) {
  EXPECT_EQ(error_message(R"({"error":{"message":"a"}})"), "a");
  EXPECT_EQ(error_message(R"({"error":"b"})"), "b");
  EXPECT_EQ(error_message(R"({"object":"error","message":"c"})"), "c");
  EXPECT_EQ(error_message(R"({"detail":"d"})"), "d");
  EXPECT_EQ(error_message("<html>e"), "<html>e");
  EXPECT_EQ(error_message(std::string(1000, 'x')).size(), 300u);
}

}  // namespace
}  // namespace glm::bench
