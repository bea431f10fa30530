// Times are given by hand: what is measured must be exactly what was said, whatever the pieces the
// answer comes in.
#include "cmd/cli/bench_exchange.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <random>
#include <string>

namespace glm::bench {
namespace {

using std::chrono::milliseconds;

Clock::Steady at(int ms) {
  return Clock::Steady(milliseconds(1'000'000 + ms));
}

std::string event(const std::string& data) {
  return "data: " + data + "\n\n";
}
std::string token(const std::string& text) {
  return event(R"({"choices":[{"index":0,"text":")" + text + R"("}]})");
}
std::string chunk(const std::string& bytes) {
  return fmt::format("{:x}\r\n{}\r\n", bytes.size(), bytes);
}
const std::string kHead = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
const std::string kUsage =
    event(R"({"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":5}})");
const std::string kDone = event("[DONE]");
const std::string kEnd = "0\r\n\r\n";

TEST(Exchange, MeasuresFromTheBeginningAndBetweenArrivals) {
  Exchange exchange(at(0));
  exchange.receive(kHead, at(10));
  exchange.receive(chunk(token("a")), at(25));
  exchange.receive(chunk(token("")), at(35));
  exchange.receive(chunk(token("b") + token("c")), at(50));  // together: a gap of nothing
  exchange.receive(chunk(kUsage), at(70));                   // no tokens: no arrival
  EXPECT_FALSE(exchange.over());
  exchange.receive(chunk(kDone) + kEnd, at(80));
  ASSERT_TRUE(exchange.over());
  const RequestRecord& record = exchange.record();
  EXPECT_EQ(record.failure, "");
  EXPECT_EQ(record.begun, at(0));
  EXPECT_EQ(record.first, at(25));
  EXPECT_EQ(record.last, at(50));
  EXPECT_EQ(record.gaps, (std::vector<std::chrono::nanoseconds>{milliseconds(10), milliseconds(15),
                                                                milliseconds(0)}));
  EXPECT_EQ(record.prompt_tokens, 7);
  EXPECT_EQ(record.output_tokens, 5);
  EXPECT_FALSE(record.counted_by_events);
}

TEST(Exchange, DoesNotDependOnThePieces) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE(fmt::format("seed {}", seed));
  std::mt19937 random(seed);
  const std::string answer = kHead + chunk(token("a") + token("b")) + chunk(token("c")) +
                             chunk(kUsage) + chunk(kDone) + kEnd;
  for (int round = 0; round < 500; ++round) {
    Exchange exchange(at(0));
    std::string_view rest = answer;
    while (!rest.empty()) {
      const std::size_t count = 1 + random() % std::min<std::size_t>(rest.size(), 40);
      exchange.receive(rest.substr(0, count), at(5));
      rest.remove_prefix(count);
    }
    ASSERT_TRUE(exchange.over());
    EXPECT_EQ(exchange.record().failure, "");
    EXPECT_EQ(exchange.record().gaps.size(), 2u);
    EXPECT_EQ(exchange.record().output_tokens, 5);
  }
}

TEST(Exchange, CountsArrivalsWhereTheServerCountsNothing) {
  Exchange exchange(at(0));
  exchange.receive(kHead + chunk(token("a") + token("b") + token("c") + kDone) + kEnd, at(1));
  EXPECT_EQ(exchange.record().output_tokens, 3);
  EXPECT_TRUE(exchange.record().counted_by_events);
}

TEST(Exchange, EndsWithTheConnectionWhereNothingElseSaysSo) {
  Exchange exchange(at(0));
  exchange.receive("HTTP/1.1 200 OK\r\n\r\n" + token("a") + kUsage, at(1));
  EXPECT_FALSE(exchange.over());
  exchange.close();
  ASSERT_TRUE(exchange.over());
  EXPECT_EQ(exchange.record().failure, "");
}

TEST(Exchange, FailsWithWhatTheServerSaid) {
  struct Case {
    std::string answer;
    std::string failure;
  };
  const std::string busy = R"({"error":{"message":"512 requests are waiting already"}})";
  const Case cases[] = {
      {"HTTP/1.1 503 Busy\r\nContent-Length: " + std::to_string(busy.size()) + "\r\n\r\n" + busy,
       "status 503: 512 requests are waiting already"},
      {kHead + chunk(token("a") + event(R"({"error":{"message":"the runner ended"}})")),
       "the runner ended"},
      {kHead + chunk(kDone) + kEnd, "the answer was complete without a single token"},
      {kHead + chunk(token("a")), "the connection broke in the middle of the answer"},
      {"", "the server closed the connection without an answer"},
      {"nonsense\r\n", "the answer is not HTTP/1.1: it begins with 'nonsense'"},
  };
  for (const Case& c : cases) {
    Exchange exchange(at(0));
    exchange.receive(c.answer, at(1));
    exchange.close();
    ASSERT_TRUE(exchange.over());
    EXPECT_EQ(exchange.record().failure, c.failure);
  }
}

}  // namespace
}  // namespace glm::bench
