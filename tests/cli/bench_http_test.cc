// Answers in each framing, cut at every place; what is no answer is refused with its words.
#include "cmd/cli/bench_http.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace glm::bench {
namespace {

struct Framing {
  const char* name;
  std::string bytes;
  bool ends_by_itself;
};

const Framing kFramings[] = {
    {"length", "HTTP/1.1 200 OK\r\nContent-Type: x\r\nContent-Length: 11\r\n\r\nhello world", true},
    {"chunks",
     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
     "5;ext=1\r\nhello\r\n06\r\n world\r\n0\r\nTrailer: t\r\n\r\n",
     true},
    {"bare_newlines", "HTTP/1.1 200 OK\ncontent-LENGTH:11\n\nhello world", true},
    {"after_continue",
     "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello world", true},
    {"until_close", "HTTP/1.0 200 OK\r\nServer: y\r\n\r\nhello world", false},
};

TEST(HttpAnswerReader, FindsTheBodyHoweverItIsFramedAndCut) {
  for (const Framing& framing : kFramings) {
    for (std::size_t cut = 0; cut <= framing.bytes.size(); ++cut) {
      HttpAnswerReader reader;
      std::string body;
      ASSERT_TRUE(reader.push(std::string_view(framing.bytes).substr(0, cut), body).ok());
      ASSERT_TRUE(reader.push(std::string_view(framing.bytes).substr(cut), body).ok());
      EXPECT_EQ(body, "hello world") << framing.name << " " << cut;
      EXPECT_EQ(reader.status(), 200);
      EXPECT_EQ(reader.complete(), framing.ends_by_itself) << framing.name;
      EXPECT_TRUE(reader.close().ok());
      EXPECT_TRUE(reader.complete());
    }
  }
}

TEST(HttpAnswerReader, FindsTheBodyByteByByte) {
  for (const Framing& framing : kFramings) {
    HttpAnswerReader reader;
    std::string body;
    for (const char& byte : framing.bytes) ASSERT_TRUE(reader.push({&byte, 1}, body).ok());
    EXPECT_EQ(body, "hello world") << framing.name;
  }
}

TEST(HttpAnswerReader, TellsAnAnswerThatBreaksOff) {
  for (const Framing& framing : kFramings) {
    if (!framing.ends_by_itself) continue;
    for (std::size_t cut = 0; cut < framing.bytes.size(); ++cut) {
      HttpAnswerReader reader;
      std::string body;
      ASSERT_TRUE(reader.push(std::string_view(framing.bytes).substr(0, cut), body).ok());
      const Status closed = reader.close();
      ASSERT_FALSE(closed.ok()) << framing.name << " " << cut;
      EXPECT_EQ(closed.error().code, Errc::unavailable);
    }
  }
  EXPECT_EQ(HttpAnswerReader().close().error().message,
            "the server closed the connection without an answer");
}

TEST(HttpAnswerReader, TakesAnswersWithoutABody) {
  for (const char* head :
       {"HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"}) {
    HttpAnswerReader reader;
    std::string body;
    ASSERT_TRUE(reader.push(head, body).ok());
    EXPECT_TRUE(reader.complete()) << head;
    EXPECT_EQ(body, "");
  }
}

TEST(HttpAnswerReader, RefusesWhatIsNoHttp) {
  struct Case {
    std::string bytes;
    std::string message;
  };
  const Case cases[] = {
      {"SSH-2.0-OpenSSH_9.2\r\n",
       "the answer is not HTTP/1.1: it begins with 'SSH-2.0-OpenSSH_9.2'"},
      {"HTTP/1.1 2x0 OK\r\n", "the answer is not HTTP/1.1: it begins with 'HTTP/1.1 2x0 OK'"},
      {"HTTP/1.1 200 OK\r\nno colon\r\n", "the answer is not HTTP/1.1: a header is 'no colon'"},
      {"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n", "the answer is not HTTP/1.1: a length is '-1'"},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
       "the answer is not HTTP/1.1: the size of a chunk is 'xyz'"},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n",
       "the answer is not HTTP/1.1: behind a chunk stands 'bc'"},
      {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab",
       "1 bytes came after the end of the answer"},
      {std::string(20'000, 'x'),
       "the answer is not HTTP/1.1: an endless line '" + std::string(60, 'x') + "'"},
  };
  for (const Case& c : cases) {
    HttpAnswerReader reader;
    std::string body;
    const Status pushed = reader.push(c.bytes, body);
    ASSERT_FALSE(pushed.ok()) << c.bytes.substr(0, 60);
    EXPECT_EQ(pushed.error().code, Errc::corrupt);
    EXPECT_EQ(pushed.error().message, c.message);
  }
}

}  // namespace
}  // namespace glm::bench
