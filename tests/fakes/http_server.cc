#include "tests/fakes/http_server.h"

#include <httplib.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "base/mutex.h"

namespace glm::fakes {
namespace {

constexpr std::size_t kPiece = 256 * 1024;
constexpr std::size_t kThreads = 32;

HttpRequest request_of(const httplib::Request& req) {
  HttpRequest request{
      .method = req.method, .target = req.target, .headers = {}, .body = req.body, .form = {}};
  for (const auto& [name, value] : req.headers) {
    std::string lower = name;
    std::transform(lower.begin(), lower.end(), lower.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    request.headers[lower] = value;
  }
  if (req.method == "POST") request.form.insert(req.params.begin(), req.params.end());
  return request;
}

}  // namespace

std::string HttpRequest::header(const std::string& lower_case_name) const {
  const auto found = headers.find(lower_case_name);
  return found == headers.end() ? "" : found->second;
}

Content content_of(std::string bytes) {
  auto shared = std::make_shared<const std::string>(std::move(bytes));
  return {.size_bytes = shared->size(), .read = [shared](std::uint64_t offset, std::size_t length) {
            return shared->substr(offset, length);
          }};
}

Content slice(const Content& whole, std::uint64_t offset, std::uint64_t length) {
  return {.size_bytes = length,
          .read = [read = whole.read, offset](std::uint64_t from, std::size_t count) {
            return read(offset + from, count);
          }};
}

class HttpServer::Listener : public httplib::Server {
 public:
  Listener(ListenAt at, Answerer answerer) : at_(std::move(at)), answerer_(std::move(answerer)) {
    // The library's default is SO_REUSEPORT, under which two servers may share a port unnoticed.
    set_socket_options([](socket_t sock) {
      const int yes = 1;
      (void)::setsockopt(sock, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    });
    new_task_queue = [] { return new httplib::ThreadPool(kThreads); };
    set_keep_alive_timeout(1);
    set_keep_alive_max_count(100000);
    set_tcp_nodelay(true);
    const auto route = [this](const httplib::Request& req, httplib::Response& res) {
      send(answerer_(request_of(req)), res);
    };
    Get(".*", route);
    Post(".*", route);
    const int wanted = at_.port;
    if (wanted == 0) {
      at_.port = bind_to_any_port(at_.address.c_str());
    } else if (!bind_to_port(at_.address.c_str(), wanted)) {
      at_.port = -1;
    }
    if (at_.port <= 0) {
      std::fprintf(stderr, "fake server: cannot listen on %s:%d\n", at_.address.c_str(), wanted);
      std::abort();
    }
    (void)::listen(svr_sock_, 1024);  // the library's backlog is 5
    thread_ = std::thread([this] { listen_after_bind(); });
    while (!is_running()) std::this_thread::yield();  // stop() before that would be lost
  }

  ~Listener() override {
    {
      MutexLock lock(mutex_);
      stopping_ = true;
    }
    stopped_.notify_all();
    stop();
    thread_.join();
  }

  const ListenAt& at() const { return at_; }

 private:
  // A provider without a length keeps the library from applying ranges of its own; what is said of
  // the length is said here.
  void send(HttpAnswer answer, httplib::Response& res) {
    res.status = answer.status;
    std::string type = "application/octet-stream";
    for (const auto& [name, value] : answer.headers) {
      if (name == "Content-Type") {
        type = value;
      } else {
        res.set_header(name, value);
      }
    }
    if (answer.framing == Framing::length) {
      res.set_header("Content-Length", std::to_string(answer.content.size_bytes));
    } else {
      res.set_header("Connection", "close");
    }
    auto shared = std::make_shared<const HttpAnswer>(std::move(answer));
    res.set_content_provider(type, [this, shared, sent = std::uint64_t{0}](
                                       std::size_t, httplib::DataSink& sink) mutable {
      return send_piece(*shared, sent, sink);
    });
  }

  bool send_piece(const HttpAnswer& answer, std::uint64_t& sent, httplib::DataSink& sink) {
    const std::uint64_t cut = answer.cut_after_bytes.value_or(UINT64_MAX);
    std::uint64_t piece = std::min<std::uint64_t>(answer.content.size_bytes - sent, kPiece);
    piece = std::min(piece, cut - sent);
    if (answer.stall_after_bytes) {
      piece = std::min(piece, *answer.stall_after_bytes - sent);
      if (piece == 0) return rest(std::chrono::hours(1));
    }
    if (answer.bytes_per_second != 0) {
      piece = std::min(piece, std::max<std::uint64_t>(answer.bytes_per_second / 50, 1));
      if (!rest(std::chrono::microseconds(piece * 1'000'000 / answer.bytes_per_second))) {
        return false;
      }
    }
    if (piece > 0) {
      const std::string bytes = answer.content.read(sent, piece);
      if (bytes.size() != piece || !sink.write(bytes.data(), bytes.size())) return false;
      sent += piece;
    }
    if (sent == answer.content.size_bytes) {
      sink.done();
      return answer.framing == Framing::length;
    }
    return sent < cut;
  }

  // False when the server is being stopped.
  bool rest(std::chrono::microseconds time) {
    const auto until = std::chrono::steady_clock::now() + time;
    MutexLock lock(mutex_);
    while (!stopping_ && std::chrono::steady_clock::now() < until) lock.wait_until(stopped_, until);
    return !stopping_;
  }

  ListenAt at_;
  Answerer answerer_;
  std::thread thread_;
  Mutex mutex_;
  std::condition_variable stopped_;
  bool stopping_ GLM_GUARDED_BY(mutex_) = false;
};

HttpServer::HttpServer(ListenAt at, Answerer answerer)
    : listener_(std::make_unique<Listener>(std::move(at), std::move(answerer))) {}
HttpServer::~HttpServer() = default;

std::string HttpServer::url() const {
  return "http://" + listener_->at().address + ":" + std::to_string(listener_->at().port);
}

}  // namespace glm::fakes
