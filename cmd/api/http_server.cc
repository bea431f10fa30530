#include "cmd/api/http_server.h"

#include <arpa/inet.h>
#include <httplib.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <limits>
#include <nlohmann/json.hpp>

#include "cmd/api/client_connection.h"
#include "cmd/api/guard.h"
#include "cmd/api/json_body.h"
#include "cmd/api/routes.h"
#include "cmd/api/task_queue.h"
#include "cmd/outcome.h"

namespace glm::api {
namespace {

constexpr int kBacklog = 1024;
constexpr std::size_t kThreadsMax = 1024;
constexpr std::chrono::seconds kBodyTimeMax{60};

// The library listens with a backlog of 5.
class ListeningServer final : public httplib::Server {
 public:
  bool widen_backlog() { return ::listen(svr_sock_, kBacklog) == 0; }
};

class SinkWriter final : public StreamWriter {
 public:
  explicit SinkWriter(httplib::DataSink& sink) : sink_(sink) {}
  bool write(std::string_view bytes) override {
    return sink_.is_writable() && sink_.write(bytes.data(), bytes.size());
  }

 private:
  httplib::DataSink& sink_;
};

void answer_error(httplib::Response& response, Dialect dialect, const Error& error) {
  response.status = outcome(error.code).http_status;
  if (response.status == 503) response.set_header("Retry-After", "1");
  response.set_content(dump(error_body(dialect, error)), "application/json");
}

void answer(httplib::Response& response, Reply reply, std::shared_ptr<ClientConnection> client) {
  if (!reply.stream) {
    response.set_content(std::move(reply.body), reply.content_type);
    return;
  }
  response.set_header("Cache-Control", "no-cache");
  response.set_chunked_content_provider(
      reply.content_type,
      [stream = std::move(reply.stream), client](std::size_t, httplib::DataSink& sink) {
        SinkWriter writer(sink);
        stream(writer);
        sink.done();
        return true;
      });
}

struct Body {
  std::string bytes;
  int http_status = 200;  // or why it was not taken
};

// The whole body, bounded in size and time. The library's own limits do not cover chunked bodies.
Body read_body(const httplib::ContentReader& reader) {
  std::string body;
  bool too_large = false;
  const auto deadline = std::chrono::steady_clock::now() + kBodyTimeMax;
  const bool complete = reader([&](const char* bytes, std::size_t size_bytes) {
    too_large = body.size() + size_bytes > kBodySizeMax;
    if (too_large || std::chrono::steady_clock::now() > deadline) return false;
    body.append(bytes, size_bytes);
    return true;
  });
  if (too_large) return {"", 413};
  if (!complete) return {"", 408};
  return {std::move(body), 200};
}

Error body_error(int http_status) {
  if (http_status == 413) {
    return make_error(Errc::invalid_argument, "request body is larger than {} bytes",
                      kBodySizeMax);
  }
  return make_error(Errc::invalid_argument, "request body ended early or came too slowly");
}

const Route* find_route(const std::string& method, const std::string& path, bool& path_known) {
  const std::string_view wanted = method == "HEAD" ? std::string_view("GET") : method;
  for (const Route& route : routes()) {
    if (route.path != path) continue;
    path_known = true;
    if (route.method == wanted) return &route;
  }
  return nullptr;
}

Dialect dialect_of(const std::string& path) {
  return path.starts_with("/v1/") ? Dialect::openai : Dialect::native;
}

}  // namespace

Result<Address> parse_address(std::string_view text) {
  std::string_view rest = text;
  for (std::string_view scheme : {"http://"}) {
    if (rest.starts_with(scheme)) rest.remove_prefix(scheme.size());
  }
  while (rest.ends_with('/')) rest.remove_suffix(1);
  Address address{"127.0.0.1", 11435};
  std::string_view port;
  if (rest.starts_with('[')) {
    const std::size_t close = rest.find(']');
    if (close == std::string_view::npos) {
      return make_error(Errc::invalid_argument, "address '{}' lacks a ']'", text);
    }
    address.host = rest.substr(1, close - 1);
    port = rest.substr(close + 1);
  } else {
    const std::size_t colon = rest.rfind(':');
    if (const auto host = rest.substr(0, colon); !host.empty()) address.host = host;
    if (colon != std::string_view::npos) port = rest.substr(colon);
  }
  if (!port.empty()) {
    const auto digits = port.substr(1);
    const auto [end, failure] =
        std::from_chars(digits.data(), digits.data() + digits.size(), address.port);
    if (port[0] != ':' || failure != std::errc() || end != digits.data() + digits.size() ||
        address.port < 0 || address.port > 65535) {
      return make_error(Errc::invalid_argument,
                        "address '{}' wants HOST:PORT with a port from 0 to 65535, such as "
                        "127.0.0.1:11435",
                        text);
    }
  }
  if (address.host == "localhost") address.host = "127.0.0.1";
  const bool v6 = address.host.find(':') != std::string::npos;
  if (!names_loopback(v6 ? "[" + address.host + "]" : address.host)) {
    return make_error(Errc::unsupported,
                      "address '{}' is not of this machine alone: without API keys the daemon "
                      "listens on loopback only, such as 127.0.0.1:11435",
                      text);
  }
  return address;
}

class HttpServer::Impl {
 public:
  explicit Impl(Services& services) : services_(services) {
    server_.new_task_queue = [] { return new ElasticTaskQueue(kThreadsMax); };
    server_.set_keep_alive_timeout(1);
    server_.set_keep_alive_max_count(10'000);
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
      answer_error(response, dialect_of(request.path),
                   make_error(Errc::invalid_argument, "the request is malformed (status {})",
                              status));
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

  Result<int> bind(const Address& address) {
    int port = address.port;
    if (port == 0) {
      port = server_.bind_to_any_port(address.host);
      if (port <= 0) port = -1;
    } else if (!server_.bind_to_port(address.host, port)) {
      port = -1;
    }
    if (port < 0) {
      return make_error(Errc::already_exists,
                        "listen on {}:{}: the address is in use or not of this machine; stop what "
                        "listens there, or choose another with GLM_HOST",
                        address.host, address.port);
    }
    if (!server_.widen_backlog()) {
      return make_error(Errc::internal, "listen on {}:{} failed", address.host, port);
    }
    return port;
  }

  void run() { server_.listen_after_bind(); }
  void stop() { server_.stop(); }

 private:
  static Status guard(const httplib::Request& request, httplib::Response& response) {
    const std::string origin = request.get_header_value("Origin");
    GLM_TRY(check_origin(request.get_header_value("Host"), origin));
    if (!origin.empty()) {
      response.set_header("Access-Control-Allow-Origin", origin);
      response.set_header("Vary", "Origin");
    }
    return Ok{};
  }

  static void preflight(const httplib::Request& request, httplib::Response& response) {
    if (Status allowed = guard(request, response); !allowed.ok()) {
      return answer_error(response, dialect_of(request.path), allowed.error());
    }
    response.set_header("Access-Control-Allow-Methods", "GET, HEAD, POST, DELETE, OPTIONS");
    response.set_header("Access-Control-Allow-Headers", "Content-Type, Authorization");
    response.status = 204;
  }

  void serve(const httplib::Request& request, httplib::Response& response,
             const httplib::ContentReader* reader) {
    const Dialect dialect = dialect_of(request.path);
    if (Status allowed = guard(request, response); !allowed.ok()) {
      response.set_header("Connection", "close");
      return answer_error(response, dialect, allowed.error());
    }
    bool path_known = false;
    const Route* route = find_route(request.method, request.path, path_known);
    if (route == nullptr) {
      answer_error(response, dialect,
                   make_error(Errc::not_found, "no such endpoint: {} {}", request.method,
                              request.path));
      if (path_known) response.status = 405;
      return;
    }
    Json body = Json::object();
    if (reader != nullptr) {
      const Body taken = read_body(*reader);
      if (taken.http_status != 200) {
        response.set_header("Connection", "close");
        answer_error(response, dialect, body_error(taken.http_status));
        response.status = taken.http_status;
        return;
      }
      if (route->wants_body) {
        Result<Json> parsed = parse_body(taken.bytes);
        if (!parsed.ok()) return answer_error(response, dialect, parsed.error());
        body = *std::move(parsed);
      }
    }
    auto client = std::make_shared<ClientConnection>(request.remote_addr, request.remote_port);
    Result<Reply> reply = route->handle(services_, body, *client);
    if (!reply.ok()) return answer_error(response, dialect, reply.error());
    answer(response, *std::move(reply), std::move(client));
  }

  Services& services_;
  ListeningServer server_;
};

HttpServer::HttpServer(Services& services) : impl_(std::make_unique<Impl>(services)) {}
HttpServer::~HttpServer() = default;
Result<int> HttpServer::bind(const Address& address) { return impl_->bind(address); }
void HttpServer::run() { impl_->run(); }
void HttpServer::stop() { impl_->stop(); }

}  // namespace glm::api
