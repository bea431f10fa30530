#include "cmd/api/http_server.h"

#include <fcntl.h>
#include <httplib.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <limits>
#include <nlohmann/json.hpp>

#include "cmd/api/connection.h"
#include "cmd/api/guard.h"
#include "cmd/api/json_body.h"
#include "cmd/api/request_body.h"
#include "cmd/api/routes.h"
#include "cmd/api/task_queue.h"
#include "cmd/outcome.h"

namespace glm::api {
namespace {

constexpr int kBacklog = 1024;
constexpr std::size_t kRefusingMax = 32;

// The connection that this thread serves: the library keeps it from the handlers, which want to
// know of its client.
thread_local const Connection* connection_here = nullptr;
thread_local bool body_left_here = false;  // its body was refused before all of it was read

// The library listens with a backlog of 5. Its stop() forgets the socket, and a stream without a
// socket gets no body: one that had no first token by then would end in nothing.
class ListeningServer final : public httplib::Server {
 public:
  ~ListeningServer() override { end(); }

  bool widen_backlog() {
    if (::listen(svr_sock_, kBacklog) != 0) return false;
    listening_ = ::fcntl(svr_sock_, F_DUPFD_CLOEXEC, 0);
    return listening_ >= 0;
  }

  // Nobody connects any more, and listen_after_bind() returns when all are answered; also when it
  // is called later. The descriptor is ours: the library may have closed its own.
  void end() {
    const Fd listening(listening_.exchange(-1));
    if (listening) ::shutdown(listening.get(), SHUT_RDWR);
  }

 private:
  // One request per connection: the library reads on after a body that was not taken, and would
  // answer what a page has hidden in it as a request of its own.
  bool process_and_close_socket(socket_t socket) override {
    Connection connection{Fd(socket)};
    if (ElasticTaskQueue::admission() == ElasticTaskQueue::Admission::drop) return false;
    connection_here = &connection;
    body_left_here = false;
    bool closed = false;
    const bool answered = process_request(connection, true, closed, nullptr);
    connection_here = nullptr;
    if (body_left_here) connection.read_away();
    return answered;
  }

  std::atomic<int> listening_ = -1;
};

class SinkWriter final : public StreamWriter {
 public:
  explicit SinkWriter(httplib::DataSink& sink) : sink_(sink) {}
  bool write(std::string_view bytes) override { return sink_.write(bytes.data(), bytes.size()); }

 private:
  httplib::DataSink& sink_;
};

void answer_error(httplib::Response& response, Dialect dialect, const Error& error) {
  response.status = outcome(error.code).http_status;
  if (response.status == 503) response.set_header("Retry-After", "1");
  response.set_content(dump(error_body(dialect, error)), "application/json");
}

void answer(httplib::Response& response, Reply reply) {
  response.status = reply.http_status;
  if (!reply.stream) {
    response.set_content(std::move(reply.body), reply.content_type);
    return;
  }
  response.set_header("Cache-Control", "no-cache");
  response.set_chunked_content_provider(
      reply.content_type, [stream = std::move(reply.stream)](std::size_t, httplib::DataSink& sink) {
        SinkWriter writer(sink);
        // The library's own net does not reach here.
        try {
          stream(writer);
        } catch (const std::exception& failure) {
          spdlog::error("exception in a stream what=\"{}\"", failure.what());
          return false;
        }
        sink.done();
        return true;
      });
}

Dialect dialect_of(const std::string& path) {
  return path.starts_with("/v1/") ? Dialect::openai : Dialect::native;
}

// Answers 404 or 405 where there is none.
const Route* find_route(const httplib::Request& request, httplib::Response& response) {
  const std::string_view wanted =
      request.method == "HEAD" ? std::string_view("GET") : request.method;
  std::string allowed;
  for (const Route& route : routes()) {
    if (!matches(route, request.path)) continue;
    if (route.method == wanted) return &route;
    allowed += (allowed.empty() ? "" : ", ") + std::string(route.method);
  }
  if (allowed.empty()) {
    answer_error(response, dialect_of(request.path),
                 make_error(Errc::not_found, "no such endpoint: {} {}{}", request.method,
                            request.path, path_hint(request.path)));
    return nullptr;
  }
  answer_error(response, dialect_of(request.path),
               make_error(Errc::invalid_argument, "{} wants {}, got {}", request.path, allowed,
                          request.method));
  response.set_header("Allow", allowed);
  response.status = 405;
  return nullptr;
}

}  // namespace

class HttpServer::Impl {
 public:
  Impl(Services& services, HttpLimits limits) : services_(services), limits_(limits) {
    server_.new_task_queue = [limits] {
      return new ElasticTaskQueue({.threads_max = limits.served_max,
                                   .waiting_max = limits.waiting_max,
                                   .refusing_max = kRefusingMax});
    };
    server_.set_tcp_nodelay(true);
    server_.set_payload_max_length(std::numeric_limits<std::size_t>::max());  // read_body counts
    // The library's default would let a second daemon share the port.
    server_.set_socket_options([](socket_t socket) {
      const int yes = 1;
      ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    });
    server_.set_exception_handler(
        [](const httplib::Request& request, httplib::Response& response, std::exception_ptr) {
          spdlog::error("exception while answering path={}", request.path);
          answer_error(response, dialect_of(request.path),
                       make_error(Errc::internal, "an exception reached the server"));
        });
    server_.set_error_handler([](const httplib::Request& request, httplib::Response& response) {
      if (!response.body.empty()) return;
      const int status = response.status;
      answer_error(
          response, dialect_of(request.path),
          make_error(Errc::invalid_argument, "the request is malformed (status {})", status));
      response.status = status;
    });
    server_.Get(".*", [this](const httplib::Request& request, httplib::Response& response) {
      serve(request, response, nullptr);
    });
    const auto with_body = [this](const httplib::Request& request, httplib::Response& response,
                                  const httplib::ContentReader& reader) {
      serve(request, response, &reader);
    };
    server_.Post(".*", with_body);
    server_.Put(".*", with_body);
    server_.Patch(".*", with_body);
    server_.Delete(".*", with_body);
    server_.Options(".*", [](const httplib::Request& request, httplib::Response& response) {
      preflight(request, response);
    });
  }

  Status bind(const HostAddress& address) {
    if (!server_.bind_to_port(address.host, address.port)) {
      return make_error(Errc::already_exists,
                        "listen on {}: the address is in use or not of this machine; stop what "
                        "listens there, or choose another with GLM_HOST",
                        address.str());
    }
    if (!server_.widen_backlog())
      return make_error(Errc::internal, "listen on {} failed", address.str());
    return Ok{};
  }

  void run() { server_.listen_after_bind(); }
  void stop() { server_.end(); }

 private:
  static Status guard(const httplib::Request& request, httplib::Response& response) {
    const std::string origin = request.get_header_value("Origin");
    GLM_TRY(check_origin(request.get_header_value("Host"), origin));
    if (!origin.empty()) {
      response.set_header("Access-Control-Allow-Origin", origin);
      response.set_header("Vary", "Origin, Access-Control-Request-Headers");
    }
    return Ok{};
  }

  static void preflight(const httplib::Request& request, httplib::Response& response) {
    if (Status allowed = guard(request, response); !allowed.ok()) {
      return answer_error(response, dialect_of(request.path), allowed.error());
    }
    response.set_header("Access-Control-Allow-Methods", "GET, HEAD, POST, DELETE, OPTIONS");
    // Whatever the page's library sends: OpenAI's has a dozen of its own. The origin is trusted
    // here.
    const std::string headers = request.get_header_value("Access-Control-Request-Headers");
    if (!headers.empty()) response.set_header("Access-Control-Allow-Headers", headers);
    response.status = 204;
  }

  void serve(const httplib::Request& request, httplib::Response& response,
             const httplib::ContentReader* reader) {
    // The body is taken before anything is answered: most clients send all of it before they read.
    const RequestBody body = reader == nullptr ? RequestBody{} : take_body(request, *reader);
    const Dialect dialect = dialect_of(request.path);
    body_left_here = body.refusal.has_value();
    if (Status allowed = guard(request, response); !allowed.ok()) {
      return answer_error(response, dialect, allowed.error());
    }
    if (body.refusal) {
      answer_error(response, dialect, body.refusal->error);
      response.status = body.refusal->http_status;
      if (response.status == 415) response.set_header("Accept-Encoding", kEncodingsRead);
      return;
    }
    if (ElasticTaskQueue::admission() == ElasticTaskQueue::Admission::refuse) {
      return answer_error(response, dialect,
                          make_error(Errc::exhausted,
                                     "{} connections are being served and {} wait already; try "
                                     "again later",
                                     limits_.served_max, limits_.waiting_max));
    }
    const Route* route = find_route(request, response);
    if (route == nullptr) return;
    Json json = Json::object();
    if (route->wants_body) {
      Result<Json> parsed = parse_body(body.bytes);
      if (!parsed.ok()) return answer_error(response, dialect, parsed.error());
      json = *std::move(parsed);
    }
    if (const std::string_view rest = rest_of(*route, request.path); !rest.empty()) {
      json["path"] = rest;
    }
    Result<Reply> reply = route->handle(services_, json, *connection_here);
    if (!reply.ok()) return answer_error(response, dialect, reply.error());
    answer(response, *std::move(reply));
  }

  Services& services_;
  const HttpLimits limits_;
  ListeningServer server_;
};

HttpServer::HttpServer(Services& services, HttpLimits limits)
    : impl_(std::make_unique<Impl>(services, limits)) {}
HttpServer::~HttpServer() = default;
Status HttpServer::bind(const HostAddress& address) {
  return impl_->bind(address);
}
void HttpServer::run() {
  impl_->run();
}
void HttpServer::stop() {
  impl_->stop();
}

}  // namespace glm::api
