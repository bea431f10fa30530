#include "cmd/api/request_body.h"

#include <chrono>
#include <string_view>
#include <utility>

namespace glm::api {
namespace {

constexpr std::chrono::seconds kBodyTimeMax{60};

template <typename... Args>
RequestBody refused(int http_status, fmt::format_string<Args...> format, Args&&... args) {
  return {"", BodyRefusal{http_status,
                          make_error(Errc::invalid_argument, format, std::forward<Args>(args)...)}};
}

// All values of the header, which may come more than once; empty for a body that is not encoded.
std::string encoding_of(const httplib::Request& request) {
  std::string all;
  const std::size_t count = request.get_header_value_count("Content-Encoding");
  for (std::size_t i = 0; i < count; ++i) {
    all += (all.empty() ? "" : ", ") + request.get_header_value("Content-Encoding", i);
  }
  return all == "identity" ? std::string() : all;
}

// As the library compares: it decodes these two words and no other way of writing them. What it
// takes for brotli by two letters of the name, or passes on encoded, is refused before it is read.
bool is_read(std::string_view encoding) {
  return encoding.empty() || encoding == "gzip" || encoding == "deflate";
}

// The whole body, bounded in size and time. The library's own limits do not cover chunked bodies.
RequestBody read_body(const httplib::ContentReader& reader, std::string_view encoding) {
  std::string body;
  bool too_large = false;
  bool too_slow = false;
  const auto deadline = std::chrono::steady_clock::now() + kBodyTimeMax;
  const bool complete = reader([&](const char* bytes, std::size_t size_bytes) {
    too_large = body.size() + size_bytes > kBodySizeMax;
    too_slow = std::chrono::steady_clock::now() > deadline;
    if (too_large || too_slow) return false;
    body.append(bytes, size_bytes);
    return true;
  });
  if (too_large) return refused(413, "request body is larger than {} bytes", kBodySizeMax);
  if (complete) return {std::move(body), {}};
  if (!encoding.empty() && !too_slow) {
    return refused(400, "request body ended early or is not {}, as its Content-Encoding says",
                   encoding);
  }
  return refused(408, "request body ended early or came too slowly");
}

}  // namespace

// A request without a length and without chunks has no body; the library would wait for one.
RequestBody take_body(const httplib::Request& request, const httplib::ContentReader& reader) {
  const bool chunked = request.has_header("Transfer-Encoding");
  if (!chunked && request.get_header_value("Content-Length", 0).empty()) return {};
  if (request.is_multipart_form_data()) {
    return refused(415, "request body is a form; a JSON object is wanted");
  }
  const std::string encoding = encoding_of(request);
  if (!is_read(encoding)) {
    return refused(415,
                   "request body has the Content-Encoding '{}', which is not read; send it without "
                   "one, or as gzip or deflate",
                   encoding);
  }
  return read_body(reader, encoding);
}

}  // namespace glm::api
