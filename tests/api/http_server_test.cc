// The server over plain sockets: what a hostile page could put on the wire.
#include "cmd/api/http_server.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <random>
#include <thread>

#include "base/fd.h"
#include "cmd/api/request_body.h"
#include "cmd/services.h"
#include "tests/fakes/gzip_bytes.h"

namespace glm::api {
namespace {

class HttpServerTest : public testing::Test {
 protected:
  explicit HttpServerTest(HttpLimits limits = {}) : server_(services_, limits) {
    std::mt19937 random(std::random_device{}());
    do {
      address_.port = 20'000 + static_cast<int>(random() % 40'000);
    } while (!server_.bind(address_).ok());
    thread_ = std::thread([this] { server_.run(); });
  }
  ~HttpServerTest() override {
    server_.stop();
    thread_.join();
  }

  Fd connect() const {
    Fd fd(::socket(AF_INET, SOCK_STREAM, 0));
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<std::uint16_t>(address_.port));
    ::inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
    EXPECT_EQ(::connect(fd.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to), 0);
    return fd;
  }

  // Sends the pieces with a pause between them, then reads until the server closes.
  std::string exchange(std::initializer_list<std::string> pieces) const {
    const Fd fd = connect();
    for (const std::string& piece : pieces) {
      (void)!::send(fd.get(), piece.data(), piece.size(), MSG_NOSIGNAL);  // it may have closed
      std::this_thread::sleep_for(std::chrono::milliseconds(30));
    }
    std::string answer;
    char buffer[4096];
    for (ssize_t got = 0; (got = ::recv(fd.get(), buffer, sizeof buffer, 0)) > 0;) {
      answer.append(buffer, static_cast<std::size_t>(got));
    }
    return answer;
  }

  static std::size_t answers_in(const std::string& text) {
    std::size_t count = 0;
    for (std::size_t at = 0; (at = text.find("HTTP/1.1 ", at)) != std::string::npos; ++at) ++count;
    return count;
  }

  // The endpoints used here touch none of the services.
  alignas(std::max_align_t) char nothing_[64] = {};
  Services services_{reinterpret_cast<store::Store&>(nothing_),
                     reinterpret_cast<const modelfiles::Catalog&>(nothing_),
                     reinterpret_cast<daemon::Models&>(nothing_),
                     reinterpret_cast<const daemon::Metrics&>(nothing_),
                     reinterpret_cast<daemon::Pulls&>(nothing_),
                     system_clock(),
                     [] {}};
  HostAddress address_;
  HttpServer server_;
  std::thread thread_;
};

TEST_F(HttpServerTest, AnswersNothingThatHidesInABody) {
  const std::string hidden = "GET /api/version HTTP/1.1\r\nHost: localhost\r\n\r\n";
  const std::string padding(4096, ' ');
  for (const char* head :
       {"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nOrigin: https://evil.example\r\n",
        "POST /nothing HTTP/1.1\r\nHost: localhost\r\n",
        "POST /api/version HTTP/1.1\r\nHost: localhost\r\n",
        "GET /api/tags HTTP/1.1\r\nHost: evil.example\r\n"}) {
    const std::string body = padding + hidden;
    const std::string answer =
        exchange({std::string(head) + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n",
                  padding, hidden});
    EXPECT_EQ(answers_in(answer), 1u) << head << answer;
    EXPECT_EQ(answer.find("\"version\""), std::string::npos) << head;
  }
}

TEST_F(HttpServerTest, TakesAPostWithoutABody) {
  const std::string answer = exchange({"POST /api/shutdown HTTP/1.1\r\nHost: localhost\r\n\r\n"});
  EXPECT_NE(answer.find("200 OK"), std::string::npos) << answer;
}

TEST_F(HttpServerTest, SaysWhichMethodAPathWants) {
  const std::string answer = exchange({"GET /api/chat HTTP/1.1\r\nHost: localhost\r\n\r\n"});
  EXPECT_NE(answer.find("HTTP/1.1 405"), std::string::npos) << answer;
  EXPECT_NE(answer.find("Allow: POST"), std::string::npos) << answer;
  EXPECT_NE(answer.find("/api/chat wants POST, got GET"), std::string::npos) << answer;
}

// OpenAI's JavaScript library in a page: one header that is not allowed, and the browser sends
// nothing.
TEST_F(HttpServerTest, AllowsThePagesOfThisMachineTheHeadersTheyAskFor) {
  const std::string ask =
      "OPTIONS /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
      "Access-Control-Request-Method: POST\r\n"
      "Access-Control-Request-Headers: authorization,content-type,x-stainless-os\r\nOrigin: ";
  const std::string answer = exchange({ask + "http://localhost:3000\r\n\r\n"});
  EXPECT_NE(answer.find("204 No Content"), std::string::npos) << answer;
  EXPECT_NE(answer.find("Access-Control-Allow-Headers: authorization,content-type,x-stainless-os"),
            std::string::npos)
      << answer;
  const std::string other = exchange({ask + "https://evil.example\r\n\r\n"});
  EXPECT_NE(other.find("HTTP/1.1 403"), std::string::npos) << other;
  EXPECT_EQ(other.find("Access-Control-Allow"), std::string::npos) << other;
}

TEST_F(HttpServerTest, RefusesForms) {
  const std::string answer =
      exchange({"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; "
                "boundary=x\r\n"
                "Content-Length: 5\r\n\r\n--x--"});
  EXPECT_NE(answer.find("HTTP/1.1 415"), std::string::npos) << answer;
}

std::string encoded_chat(const std::string& encoding, const std::string& body) {
  return "POST /api/chat HTTP/1.1\r\nHost: localhost\r\n" + encoding +
         "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

// Bodies that are read get as far as their missing field.
TEST_F(HttpServerTest, ReadsBodiesThatAreCompressed) {
  const std::string gzip = fakes::gzip_bytes("{}");
  for (const std::string& request : {
           encoded_chat("", "{}"), encoded_chat("Content-Encoding: identity\r\n", "{}"),
           encoded_chat("Content-Encoding:\r\n", "{}"),
           encoded_chat("Content-Encoding: gzip\r\n", gzip),
           encoded_chat("Content-Encoding: deflate\r\n", gzip),  // the library looks at the bytes
       }) {
    EXPECT_NE(exchange({request}).find("model is required"), std::string::npos) << request;
  }
}

TEST_F(HttpServerTest, NamesAnEncodingThatIsNotRead) {
  for (const std::string encoding : {"zstd", "br", "zebra", "compress", "GZIP", "gzip, gzip"}) {
    const std::string answer =
        exchange({encoded_chat("Content-Encoding: " + encoding + "\r\n", "{}")});
    EXPECT_NE(answer.find("HTTP/1.1 415"), std::string::npos) << answer;
    EXPECT_NE(answer.find("Accept-Encoding: gzip, deflate\r\n"), std::string::npos) << answer;
    EXPECT_NE(answer.find("\"request body has the Content-Encoding '" + encoding +
                          "', which is not read; send it without one, or as gzip or deflate\""),
              std::string::npos)
        << answer;
  }
  const std::string twice = "Content-Encoding: gzip\r\nContent-Encoding: br\r\n";
  EXPECT_NE(exchange({encoded_chat(twice, "{}")}).find("'gzip, br'"), std::string::npos);
}

TEST_F(HttpServerTest, TellsABodyThatIsNotEncodedAsItSays) {
  const std::string answer = exchange({encoded_chat("Content-Encoding: gzip\r\n", "{}")});
  EXPECT_NE(answer.find("HTTP/1.1 400"), std::string::npos) << answer;
  EXPECT_NE(answer.find("ended early or is not gzip"), std::string::npos) << answer;
}

// A client that sends all of its request before it reads an answer, as most do.
TEST_F(HttpServerTest, AnswersABodyThatItRefusesToClientsThatSendAllOfItFirst) {
  const std::string large(8 << 20, 'a');
  const std::string too_large(kBodySizeMax + (1 << 20), 'a');
  for (const auto& [status, request] : std::vector<std::pair<std::string, std::string>>{
           {"415", encoded_chat("Content-Encoding: br\r\n", large)},
           {"415", encoded_chat("Content-Type: multipart/form-data; boundary=x\r\n", large)},
           {"400", encoded_chat("Content-Encoding: gzip\r\n", large)},
           {"413", encoded_chat("", too_large)},
       }) {
    const Fd fd = connect();
    std::size_t sent = 0;
    while (sent < request.size()) {
      const ssize_t more =
          ::send(fd.get(), request.data() + sent, request.size() - sent, MSG_NOSIGNAL);
      ASSERT_GT(more, 0) << status << " after " << sent << " bytes";
      sent += static_cast<std::size_t>(more);
    }
    char answer[64] = {};
    ASSERT_GT(::recv(fd.get(), answer, sizeof answer - 1, 0), 0) << status;
    EXPECT_EQ(std::string(answer).substr(0, 12), "HTTP/1.1 " + status);
  }
}

class FullHttpServer : public HttpServerTest {
 protected:
  FullHttpServer() : HttpServerTest({.served_max = 2, .waiting_max = 1}) {}
};

// Connections that say nothing hold their threads as streams do.
TEST_F(FullHttpServer, AsksWhoComesTooManyToTryAgain) {
  std::vector<Fd> silent;
  for (int i = 0; i < 3; ++i) silent.push_back(connect());
  const std::string request = "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";
  const std::string answer = exchange({request});
  EXPECT_NE(answer.find("HTTP/1.1 503"), std::string::npos) << answer;
  EXPECT_NE(answer.find("Retry-After: 1"), std::string::npos) << answer;
  EXPECT_NE(answer.find("2 connections are being served and 1 wait already; try again later"),
            std::string::npos)
      << answer;
  silent.clear();
  std::string later;
  for (int i = 0; i < 100 && later.find("200 OK") == std::string::npos; ++i) {
    later = exchange({request});
  }
  EXPECT_NE(later.find("200 OK"), std::string::npos) << later;
}

TEST_F(HttpServerTest, CanBeStoppedBeforeItRuns) {
  HttpServer other(services_);
  HostAddress address;
  address.port = address_.port == 59'999 ? 19'999 : address_.port + 1;
  if (!other.bind(address).ok()) GTEST_SKIP() << "the next port is taken";
  other.stop();
  other.run();  // returns
}

}  // namespace
}  // namespace glm::api
