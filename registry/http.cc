#include "registry/http.h"

#include <curl/curl.h>

#include <algorithm>
#include <cctype>
#include <cstring>
#include <exception>
#include <functional>
#include <mutex>

#include "base/handle.h"
#include "base/paths.h"
#include "registry/redact.h"

namespace glm::registry {
namespace {

constexpr std::size_t kErrorBodyMax = 64u << 10;
constexpr std::size_t kHeadersMax = 256u << 10;
constexpr long kConnectTimeMax_ms = 15'000;
constexpr long kStallTime_s = 30;
constexpr long kStallBytesPerSecond = 64;

struct EasyTraits {
  using Raw = CURL*;
  static constexpr Raw kEmpty = nullptr;
  static void close(Raw curl) { curl_easy_cleanup(curl); }
};
struct ListTraits {
  using Raw = curl_slist*;
  static constexpr Raw kEmpty = nullptr;
  static void close(Raw list) { curl_slist_free_all(list); }
};
struct UrlTraits {
  using Raw = CURLU*;
  static constexpr Raw kEmpty = nullptr;
  static void close(Raw url) { curl_url_cleanup(url); }
};

// One transfer and what its callbacks know.
struct Transfer {
  const HttpRequest& request;
  const Http::HeadCheck& check;
  std::stop_token stop;
  CURL* curl = nullptr;
  HttpResponse response = {};
  std::size_t header_bytes = 0;
  bool head_seen = false;
  std::optional<Error> error = {};  // why a callback ended the transfer
  std::chrono::steady_clock::time_point heard = std::chrono::steady_clock::now();
  bool told_silence = false;

  void hear() {
    heard = std::chrono::steady_clock::now();
    told_silence = false;
  }
  // Called about once a second, also while nothing comes.
  void watch() {
    if (told_silence || !request.on_silence) return;
    if (std::chrono::steady_clock::now() - heard < (head_seen ? kStallPatience : kPatience)) return;
    told_silence = true;
    request.on_silence();
  }

  bool succeed() const { return response.status >= 200 && response.status < 300; }

  // Once, before the first byte of the body or at the end of an empty one.
  bool accept_head() {
    if (head_seen) return !error;
    head_seen = true;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &response.status);
    const std::string encoding = response.header("content-encoding");
    if (!encoding.empty() && encoding != "identity") {
      error = make_error(Errc::corrupt, "GET {}: the body is encoded as {} although none was asked",
                         redact_url(request.url), printable(encoding));
    } else if (check) {
      if (Status ok = check(response); !ok.ok()) error = std::move(ok).error();
    }
    return !error;
  }

  bool take(const char* bytes, std::size_t size_bytes) {
    if (!accept_head()) return false;
    if (succeed() && request.sink) {
      Status taken = request.sink(std::as_bytes(std::span(bytes, size_bytes)));
      if (!taken.ok()) error = std::move(taken).error();
      return !error;
    }
    if (!succeed()) {
      response.body.append(bytes, std::min(size_bytes, kErrorBodyMax - response.body.size()));
      return true;
    }
    if (response.body.size() + size_bytes > request.body_size_max) {
      error = make_error(Errc::corrupt, "GET {}: the answer is larger than {} bytes",
                         redact_url(request.url), request.body_size_max);
      return false;
    }
    response.body.append(bytes, size_bytes);
    return true;
  }

  bool take_header(std::string_view line) {
    header_bytes += line.size();
    if (header_bytes > kHeadersMax) {
      error = make_error(Errc::corrupt, "GET {}: more than {} bytes of headers",
                         redact_url(request.url), kHeadersMax);
      return false;
    }
    while (!line.empty() && (line.back() == '\r' || line.back() == '\n')) line.remove_suffix(1);
    if (line.starts_with("HTTP/")) {
      response.headers.clear();  // of a 100 Continue or a proxy's CONNECT
      return true;
    }
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos) return true;
    std::string name(line.substr(0, colon));
    std::transform(name.begin(), name.end(), name.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    std::string_view value = line.substr(colon + 1);
    while (!value.empty() && value.front() == ' ') value.remove_prefix(1);
    response.headers.emplace(std::move(name), value);
    return true;
  }
};

// curl's frames are C: nothing may be thrown through them.
std::size_t on_body(char* bytes, std::size_t size, std::size_t count, void* context) noexcept {
  auto* transfer = static_cast<Transfer*>(context);
  const bool taken = transfer->take(bytes, size * count);
  transfer->hear();  // only now: what took it may have been slow
  return taken ? size * count : 0;
}
std::size_t on_header(char* bytes, std::size_t size, std::size_t count, void* context) noexcept {
  return static_cast<Transfer*>(context)->take_header({bytes, size * count}) ? size * count : 0;
}
int on_progress(void* context, curl_off_t, curl_off_t, curl_off_t, curl_off_t) noexcept {
  auto* transfer = static_cast<Transfer*>(context);
  transfer->watch();
  return transfer->stop.stop_requested() ? 1 : 0;
}

void use_authorities(CURL* curl) {
  for (const char* variable : {"SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE"}) {
    if (const std::string file = env_or_empty(variable); !file.empty()) {
      curl_easy_setopt(curl, CURLOPT_CAINFO, file.c_str());
      break;
    }
  }
  if (const std::string folder = env_or_empty("SSL_CERT_DIR"); !folder.empty()) {
    curl_easy_setopt(curl, CURLOPT_CAPATH, folder.c_str());
  }
}

// What a failed transfer means for whoever may try again.
Error transfer_error(CURLcode code, const Transfer& transfer, const char* detail) {
  const std::string url = redact_url(transfer.request.url);
  const std::string why = printable(*detail != '\0' ? detail : curl_easy_strerror(code));
  switch (code) {
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
      return make_error(Errc::permission,
                        "GET {}: {}; if your network has an authority of its own, name its file in "
                        "SSL_CERT_FILE",
                        url, why);
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_URL_MALFORMAT: return make_error(Errc::invalid_argument, "GET {}: {}", url, why);
    default: return make_error(Errc::unavailable, "GET {}: {}", url, why);
  }
}

}  // namespace

std::string HttpResponse::header(const std::string& lower_case_name) const {
  const auto [begin, end] = headers.equal_range(lower_case_name);
  return begin == end ? std::string() : std::prev(end)->second;
}

Http::Http() {
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
}

Result<HttpResponse> Http::send(const HttpRequest& request, const HeadCheck& check,
                                std::stop_token stop) const {
  const Handle<EasyTraits> curl(curl_easy_init());
  if (!curl) return make_error(Errc::exhausted, "libcurl has no memory for a transfer");
  Transfer transfer{
      .request = request, .check = check, .stop = std::move(stop), .curl = curl.get()};
  Handle<ListTraits> headers(curl_slist_append(nullptr, "Accept-Encoding: identity"));
  if (!request.bearer_token.empty()) {
    const std::string line = "Authorization: Bearer " + request.bearer_token;
    (void)curl_slist_append(headers.get(), line.c_str());
  }
  char detail[CURL_ERROR_SIZE] = {};
  const auto set = [&](CURLoption option, auto value) {
    curl_easy_setopt(curl.get(), option, value);
  };
  set(CURLOPT_URL, request.url.c_str());
  set(CURLOPT_HTTPHEADER, headers.get());
  set(CURLOPT_USERAGENT, "glm/" GLM_VERSION " (linux) libcurl/" LIBCURL_VERSION);
  set(CURLOPT_FOLLOWLOCATION, 0L);
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);  // one connection per range is faster
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_ERRORBUFFER, detail);
  set(CURLOPT_CONNECTTIMEOUT_MS, kConnectTimeMax_ms);
  set(CURLOPT_LOW_SPEED_TIME, kStallTime_s);
  set(CURLOPT_LOW_SPEED_LIMIT, kStallBytesPerSecond);
  set(CURLOPT_WRITEFUNCTION, &on_body);
  set(CURLOPT_WRITEDATA, &transfer);
  set(CURLOPT_HEADERFUNCTION, &on_header);
  set(CURLOPT_HEADERDATA, &transfer);
  set(CURLOPT_NOPROGRESS, 0L);
  set(CURLOPT_XFERINFOFUNCTION, &on_progress);
  set(CURLOPT_XFERINFODATA, &transfer);
  if (request.method == HttpRequest::Method::head) set(CURLOPT_NOBODY, 1L);
  std::string range;
  if (request.range) {
    range = fmt::format("{}-{}", request.range->first, request.range->end - 1);
    set(CURLOPT_RANGE, range.c_str());
  }
  use_authorities(curl.get());
  const CURLcode code = curl_easy_perform(curl.get());
  if (transfer.error) return *std::move(transfer.error);
  if (transfer.stop.stop_requested()) return make_error(Errc::cancelled, "cancelled");
  if (code != CURLE_OK) return transfer_error(code, transfer, detail);
  if (!transfer.accept_head()) return *std::move(transfer.error);
  return std::move(transfer.response);
}

namespace {

Result<Handle<UrlTraits>> parse_url(const std::string& url) {
  Handle<UrlTraits> handle(curl_url());
  if (!handle || curl_url_set(handle.get(), CURLUPART_URL, url.c_str(), 0) != CURLUE_OK) {
    return make_error(Errc::corrupt, "'{}' is no URL", redact_url(url));
  }
  return handle;
}

std::string part_of(const Handle<UrlTraits>& url, CURLUPart part, unsigned flags = 0) {
  char* text = nullptr;
  if (curl_url_get(url.get(), part, &text, flags) != CURLUE_OK) return "";
  std::string out(text);
  curl_free(text);
  return out;
}

}  // namespace

Result<std::string> resolve_url(const std::string& base, const std::string& location) {
  const bool plain = std::all_of(location.begin(), location.end(), [](unsigned char c) {
    return c > 0x20 && c != 0x7F;
  });
  if (location.empty() || !plain) {
    return make_error(Errc::corrupt, "GET {}: redirected to nowhere (Location '{}')",
                      redact_url(base), printable(location.substr(0, 200)));
  }
  const Handle<UrlTraits> url = GLM_TRY(parse_url(base));
  if (curl_url_set(url.get(), CURLUPART_URL, location.c_str(), 0) != CURLUE_OK) {
    return make_error(Errc::corrupt, "GET {}: redirected to what is no URL", redact_url(base));
  }
  const std::string scheme = part_of(url, CURLUPART_SCHEME);
  if (scheme != "http" && scheme != "https") {
    return make_error(Errc::corrupt, "GET {}: redirected to a {} address; refused",
                      redact_url(base), printable(scheme));
  }
  return part_of(url, CURLUPART_URL);
}

Result<std::string> origin_of(const std::string& url) {
  const Handle<UrlTraits> parsed = GLM_TRY(parse_url(url));
  std::string host = part_of(parsed, CURLUPART_HOST);
  std::transform(host.begin(), host.end(), host.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return part_of(parsed, CURLUPART_SCHEME) + "://" + host + ":" +
         part_of(parsed, CURLUPART_PORT, CURLU_DEFAULT_PORT);
}

std::string host_of(const std::string& url) {
  const std::string origin = origin_of(url).value_or("");
  std::string_view host = origin;
  for (const auto& [scheme, port] : {std::pair{"https://", ":443"}, {"http://", ":80"}}) {
    if (!host.starts_with(scheme)) continue;
    host.remove_prefix(std::string_view(scheme).size());
    if (host.ends_with(port)) host.remove_suffix(std::string_view(port).size());
  }
  return std::string(host);
}

std::string percent_encode(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool unreserved = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
                            (byte >= '0' && byte <= '9') || byte == '-' || byte == '.' ||
                            byte == '_' || byte == '~';
    out += unreserved ? std::string(1, c) : fmt::format("%{:02X}", byte);
  }
  return out;
}

}  // namespace glm::registry
