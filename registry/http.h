// HTTP requests to the hub, by libcurl: the only file that includes it is http.cc.
//
// Redirects are never followed here: who may see a token is decided by the caller, hop by hop.
// Bodies come unencoded (identity). Peers and hosts are always verified; SSL_CERT_FILE,
// SSL_CERT_DIR, CURL_CA_BUNDLE and REQUESTS_CA_BUNDLE name other authorities, and the usual proxy
// variables hold.
//
// Thread safety: Http may be used from any thread; each call is a transfer of its own.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "base/result.h"
#include "registry/source.h"

namespace glm::registry {

// How long a person may be left alone with a server that says nothing.
inline constexpr std::chrono::seconds kPatience{2};
inline constexpr std::chrono::seconds kStallPatience{5};  // in the middle of a file

struct HttpRequest {
  enum class Method { get, head };
  Method method = Method::get;
  std::string url;
  std::string bearer_token;  // empty: none
  // Bytes [first, end) of the resource.
  struct Range {
    std::uint64_t first = 0;
    std::uint64_t end = 0;
  };
  std::optional<Range> range;
  // Where the body of a 2xx answer goes; without one it is kept in HttpResponse::body.
  // Called once the status and headers are known and send()'s check has agreed.
  ByteSink sink;
  std::uint64_t body_size_max = 64u << 20;  // of a body that is kept
  std::function<void()> on_silence;         // when so long nothing came, once until something does
};

struct HttpResponse {
  long status = 0;
  std::multimap<std::string, std::string> headers;  // names in lower case
  std::string body;                                 // of errors: at most 64 KiB

  std::string header(const std::string& lower_case_name) const;  // the last one; "" if absent
};

class Http {
 public:
  Http();

  // Looks at status and headers before the body is passed on; an Error ends the transfer.
  using HeadCheck = std::function<Status(const HttpResponse&)>;

  // An answer of any status is a success here. Errc::unavailable: no answer, or the body broke off
  // or stalled; errors of the sink and of the check are passed on as they are; Errc::cancelled;
  // Errc::corrupt: content encoding, or a body larger than allowed; Errc::permission: TLS.
  Result<HttpResponse> send(const HttpRequest& request, const HeadCheck& check,
                            std::stop_token stop) const;
};

// A URL against the one it was found in, as browsers do. Errc::corrupt for what is no http(s) URL.
Result<std::string> resolve_url(const std::string& base, const std::string& location);

// "https://host:port": what must be equal for a token to travel.
Result<std::string> origin_of(const std::string& url);

// The host of a URL as people write it: "huggingface.co", "127.0.0.1:8080".
std::string host_of(const std::string& url);

// Everything but unreserved characters encoded; '/' too.
std::string percent_encode(std::string_view text);

}  // namespace glm::registry
