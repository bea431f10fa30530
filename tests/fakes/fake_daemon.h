// A daemon that says what a test tells it to: a real HTTP server on a free port of this machine,
// with scripted answers, that remembers what it was asked.
//
// Thread safety: all members may be called from any thread; on() before the first request.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace glm::fakes {

struct FakeAnswer {
  enum class End {
    complete,
    cut,      // the connection closes in the middle
    endless,  // the last line again and again until the client goes away
  };

  int status = 200;
  std::vector<std::string> lines;  // a newline is added to each
  End end = End::complete;
};

struct FakeRequest {
  std::string method, path, body;
  nlohmann::json json() const { return nlohmann::json::parse(body, nullptr, false); }
};

class FakeDaemon {
 public:
  using Answering = std::function<FakeAnswer(const FakeRequest& request)>;

  // Answers GET /api/version as glm does, and everything else with 404 until told otherwise.
  FakeDaemon();
  ~FakeDaemon();

  // "POST /api/show"
  void on(const std::string& route, FakeAnswer answer);
  void on(const std::string& route, Answering answering);

  std::string host() const;  // "127.0.0.1:34567"

  // Those of a route, in order.
  std::vector<FakeRequest> requests(const std::string& route) const;

  // True once a client has left an endless answer.
  bool wait_until_abandoned(std::chrono::seconds timeout);

  // No longer listens; open connections end.
  void stop();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace glm::fakes
