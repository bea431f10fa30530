#include "cmd/api/request_body.h"

#include <chrono>
#include <utility>

namespace glm::api {
namespace {

constexpr std::chrono::seconds kBodyTimeMax{60};

// The whole body, bounded in size and time. The library's own limits do not cover chunked bodies.
RequestBody read_body(const httplib::ContentReader& reader) {
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

}  // namespace

// A request without a length and without chunks has no body; the library would wait for one.
RequestBody take_body(const httplib::Request& request, const httplib::ContentReader& reader) {
  const bool chunked = request.has_header("Transfer-Encoding");
  if (!chunked && request.get_header_value("Content-Length", 0).empty()) return {};
  if (request.is_multipart_form_data()) return {"", 415};
  return read_body(reader);
}

Error body_error(int http_status) {
  if (http_status == 415) {
    return make_error(Errc::invalid_argument, "request body is a form; a JSON object is wanted");
  }
  if (http_status == 413) {
    return make_error(Errc::invalid_argument, "request body is larger than {} bytes", kBodySizeMax);
  }
  return make_error(Errc::invalid_argument, "request body ended early or came too slowly");
}

}  // namespace glm::api
