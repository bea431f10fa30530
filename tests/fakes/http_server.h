// An HTTP server for fakes: one function that answers, one ephemeral port on the loopback
// interface, and full control of what leaves it: lengths, ranges and encodings are that function's
// own, a body may be cut short or trickle.
//
// Thread safety: the function is called from many threads at once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace glm::fakes {

struct HttpRequest {
  std::string method;
  std::string target;                          // as it was sent: path, '?', query
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;                            // empty for a form
  std::multimap<std::string, std::string> form;
  // Empty when there is none.
  std::string header(const std::string& lower_case_name) const;
};

// Bytes that are produced while they are sent.
struct Content {
  std::uint64_t size_bytes = 0;
  std::function<std::string(std::uint64_t offset, std::size_t length)> read;
};
Content content_of(std::string bytes);
Content slice(const Content& whole, std::uint64_t offset, std::uint64_t length);

enum class Framing { length, until_close };

struct HttpAnswer {
  int status = 200;
  std::vector<std::pair<std::string, std::string>> headers = {};
  Content content = {};
  Framing framing = Framing::length;
  std::optional<std::uint64_t> cut_after_bytes = {};    // then the connection is closed
  std::optional<std::uint64_t> stall_after_bytes = {};  // then nothing comes
  std::uint64_t bytes_per_second = 0;                   // 0: as fast as they go
};

struct ListenAt {
  std::string address = "127.0.0.1";  // any of 127.0.0.0/8 will do
  int port = 0;                       // 0 takes a free one
};

class HttpServer {
 public:
  using Answerer = std::function<HttpAnswer(const HttpRequest&)>;
  // Ends the program when the port cannot be had: tests cannot go on.
  HttpServer(ListenAt at, Answerer answerer);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  std::string url() const;  // "http://<address>:<port>"

 private:
  class Listener;
  std::unique_ptr<Listener> listener_;
};

}  // namespace glm::fakes
