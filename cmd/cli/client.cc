#include "cmd/cli/client.h"

#include <httplib.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "cmd/cli/interrupt.h"
#include "cmd/cli/ndjson.h"
#include "cmd/cli/terminal.h"
#include "cmd/outcome.h"

namespace glm {
namespace {

constexpr time_t kConnectTimeoutSeconds = 10;
constexpr time_t kAnswerTimeoutSeconds = 600;
constexpr time_t kNoTimeoutSeconds = 7 * 24 * 3600;  // httplib counts milliseconds in an int
constexpr time_t kProbeTimeoutSeconds = 5;
constexpr std::chrono::milliseconds kEndingPatience{500};
constexpr std::chrono::milliseconds kEndingInterval{50};
constexpr std::size_t kErrorBodyMaxBytes = 64 << 10;

std::unique_ptr<httplib::ClientImpl> make_http(const HostAddress& address) {
  std::unique_ptr<httplib::ClientImpl> http;
  if (address.tls) {
    http = std::make_unique<httplib::SSLClient>(address.host, address.port);
  } else {
    http = std::make_unique<httplib::ClientImpl>(address.host, address.port);
  }
  http->set_connection_timeout(kConnectTimeoutSeconds);
  http->set_write_timeout(kAnswerTimeoutSeconds);
  http->set_tcp_nodelay(true);
  // A machine that vanished is noticed in the end, however long an answer may take.
  http->set_socket_options([](int socket) {
    const int on = 1;
    (void)::setsockopt(socket, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  });
  return http;
}

std::string dumped(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// {"error": "…", "code": "not_found"}, in a body or in a line of a stream.
std::optional<Error> error_in(const Json& json, Errc fallback) {
  const auto error = json.find("error");
  if (error == json.end()) return std::nullopt;
  const auto code = json.find("code");
  std::optional<Errc> known;
  if (code != json.end() && code->is_string()) known = errc_from_name(code->get<std::string>());
  return Error{known.value_or(fallback),
               error->is_string() ? error->get<std::string>() : dumped(*error)};
}

Error refused(const HostAddress& address, int status, const std::string& body) {
  const Errc code = errc_from_http_status(status);
  const Json json = Json::parse(body, nullptr, false);
  if (json.is_object()) {
    if (std::optional<Error> error = error_in(json, code)) return *std::move(error);
  }
  return make_error(code, "the server at {} answered with status {}", address.str(), status);
}

Error failed(const HostAddress& address, httplib::Error error) {
  switch (error) {
    case httplib::Error::Connection:
    case httplib::Error::ConnectionTimeout:
      return make_error(Errc::unavailable, "no daemon answers at {}; {}", address.str(),
                        address.is_loopback() && !address.tls
                            ? "start one with 'glm serve', or set GLM_HOST to where it is"
                            : "set GLM_HOST to where one is");
    case httplib::Error::SSLConnection:
    case httplib::Error::SSLLoadingCerts:
    case httplib::Error::SSLServerVerification:
      return make_error(Errc::permission, "connect to {}: {}", address.str(),
                        httplib::to_string(error));
    default:
      return make_error(Errc::unavailable,
                        "the connection to the daemon at {} broke before its answer was complete",
                        address.str());
  }
}

}  // namespace

struct Client::Call {
  std::string_view method;
  std::string_view path;
  const Json* body = nullptr;
  time_t read_timeout_seconds = kAnswerTimeoutSeconds;
  std::function<Status(std::string_view)> receive;  // bytes of a good answer
};

Client::Client(HostAddress address) : address_(std::move(address)) {}
Client::Client(Client&&) noexcept = default;
Client& Client::operator=(Client&&) noexcept = default;
Client::~Client() = default;

Status Client::perform(const Call& call) {
  const std::unique_ptr<httplib::ClientImpl> http = make_http(address_);
  http->set_read_timeout(call.read_timeout_seconds);
  const InterruptScope interrupt([&] { http->stop(); });

  httplib::Request request;
  request.method = call.method;
  request.path = call.path;
  request.set_header("Host", address_.authority());
  if (call.body != nullptr) {
    request.body = dumped(*call.body);
    request.set_header("Content-Type", "application/json");
  }
  int status = 0;
  std::string error_body;
  Status received = Ok{};
  request.response_handler = [&](const httplib::Response& response) {
    status = response.status;
    return !interrupt.interrupted();
  };
  request.content_receiver = [&](const char* data, std::size_t size, std::uint64_t, std::uint64_t) {
    if (interrupt.interrupted()) return false;
    if (status >= 400) {
      error_body.append(data, std::min(size, kErrorBodyMaxBytes - error_body.size()));
      return true;
    }
    received = call.receive(std::string_view(data, size));
    return received.ok();
  };
  const httplib::Result result = http->send(request);
  if (interrupt.interrupted()) return make_error(Errc::cancelled, "interrupted");
  if (!received.ok()) return received;
  if (!result) return failed(address_, result.error());
  if (result->status >= 300) return refused(address_, result->status, error_body);
  return Ok{};
}

Result<Json> Client::whole(std::string_view method, std::string_view path, const Json* body) {
  std::string answer;
  Call call{.method = method, .path = path, .body = body, .receive = {}};
  call.receive = [&](std::string_view bytes) -> Status {
    answer += bytes;
    return Ok{};
  };
  GLM_TRY(perform(call));
  if (answer.find_first_not_of(" \t\r\n") == std::string::npos) return Json::object();
  Json json = Json::parse(answer, nullptr, false);
  if (!json.is_object()) {
    return make_error(Errc::corrupt, "{} {} at {} answered with something that is no JSON object",
                      method, path, address_.str());
  }
  if (std::optional<Error> error = error_in(json, Errc::internal)) return *std::move(error);
  return json;
}

Result<Json> Client::get(std::string_view path) {
  return whole("GET", path, nullptr);
}
Result<Json> Client::post(std::string_view path, const Json& body) {
  return whole("POST", path, &body);
}
Result<Json> Client::remove(std::string_view path, const Json& body) {
  return whole("DELETE", path, &body);
}

Status Client::stream(std::string_view path, const Json& body,
                      const std::function<Status(const Json&)>& each) {
  NdjsonReader reader;
  const auto line = [&](const Json& json) -> Status {
    if (std::optional<Error> error = error_in(json, Errc::internal)) return *std::move(error);
    return each(json);
  };
  Call call{.method = "POST",
            .path = path,
            .body = &body,
            .read_timeout_seconds = kNoTimeoutSeconds,
            .receive = {}};
  call.receive = [&](std::string_view bytes) { return reader.push(bytes, line); };
  GLM_TRY(perform(call));
  return reader.finish(line);
}

Peer who_answers(const HostAddress& address) {
  const std::unique_ptr<httplib::ClientImpl> http = make_http(address);
  http->set_connection_timeout(kProbeTimeoutSeconds);
  http->set_read_timeout(kProbeTimeoutSeconds);
  const auto ask = [&] { return http->Get("/api/version", {{"Host", address.authority()}}); };
  const auto begun = std::chrono::steady_clock::now();
  httplib::Result result = ask();
  // A daemon that is just ending takes a connection and drops it, before or after the request has
  // been written; a moment later nobody is there.
  const auto dropped = [&] {
    return !result &&
           (result.error() == httplib::Error::Read || result.error() == httplib::Error::Write);
  };
  while (dropped() && std::chrono::steady_clock::now() - begun < kEndingPatience) {
    std::this_thread::sleep_for(kEndingInterval);
    result = ask();
  }
  if (!result) {
    const bool nobody = result.error() == httplib::Error::Connection ||
                        result.error() == httplib::Error::ConnectionTimeout;
    return {.kind = nobody ? Peer::Kind::nobody : Peer::Kind::stranger,
            .version = {},
            .home = {},
            .hub = {},
            .warning = {},
            .detail = "does not answer GET /api/version"};
  }
  const Json json = Json::parse(result->body, nullptr, false);
  const auto text = [&](const char* key) {
    if (!json.is_object()) return std::string();
    const auto found = json.find(key);
    return found != json.end() && found->is_string() ? found->get<std::string>() : std::string();
  };
  if (result->status == 200 && text("name") == "glm") {
    return {.kind = Peer::Kind::glm,
            .version = text("version"),
            .home = text("home"),
            .hub = text("hub"),
            .warning = text("warning"),
            .detail = {}};
  }
  std::string said = for_terminal(result->body.substr(0, 60));
  std::replace(said.begin(), said.end(), '\n', ' ');
  return {.kind = Peer::Kind::stranger,
          .version = {},
          .home = {},
          .hub = {},
          .warning = {},
          .detail = fmt::format("answers GET /api/version with status {} and '{}'", result->status,
                                said)};
}

}  // namespace glm
