#include "registry/hub_client.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "registry/redact.h"
#include "registry/safe_path.h"

namespace glm::registry {
namespace {

using Json = nlohmann::json;

constexpr int kHopsMax = 10;
constexpr int kPagesMax = 1000;
constexpr int kAddressesMax = 4;  // fresh signed URLs for one stretch without progress
constexpr std::uint64_t kSizeMax = 1ull << 53;

// "org/na me" -> "org/na%20me"
std::string encode_path(std::string_view path) {
  std::string out;
  while (true) {
    const std::size_t slash = path.find('/');
    out += percent_encode(path.substr(0, slash));
    if (slash == std::string_view::npos) return out;
    out += '/';
    path.remove_prefix(slash + 1);
  }
}

bool is_hex(std::string_view text, std::size_t length) {
  return text.size() == length &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

std::string string_of(const Json& json, const char* field) {
  const auto it = json.find(field);
  return it != json.end() && it->is_string() ? it->get<std::string>() : std::string();
}

// The target of rel="next" in a Link header.
std::string next_link(const std::string& link) {
  const std::size_t rel = link.find("rel=\"next\"");
  if (rel == std::string::npos) return "";
  const std::size_t open = link.rfind('<', rel);
  const std::size_t close = link.find('>', open == std::string::npos ? 0 : open);
  if (open == std::string::npos || close == std::string::npos || close > rel) return "";
  return link.substr(open + 1, close - open - 1);
}

Result<RemoteFile> parse_entry(const Json& entry) {
  RemoteFile file;
  file.path = string_of(entry, "path");
  GLM_TRY(check_path(file.path));
  const auto size = entry.find("size");
  if (size == entry.end() || !size->is_number_unsigned() || size->get<std::uint64_t>() > kSizeMax) {
    return make_error(Errc::corrupt, "the listing gives no usable size for {}", file.path);
  }
  file.size_bytes = size->get<std::uint64_t>();
  const auto lfs = entry.find("lfs");
  if (lfs != entry.end() && lfs->is_object()) {
    Result<store::Digest> digest = store::Digest::parse(string_of(*lfs, "oid"));
    if (!digest.ok()) {
      return make_error(Errc::corrupt, "the listing gives no usable SHA-256 for {}", file.path);
    }
    file.sha256 = *digest;
    return file;
  }
  file.git_oid = string_of(entry, "oid");
  if (!is_hex(file.git_oid, 40)) {
    return make_error(Errc::corrupt, "the listing gives no usable git id for {}", file.path);
  }
  return file;
}

// "bytes 5-9/100" against what was asked.
bool is_range(const std::string& header, std::uint64_t first, std::uint64_t total) {
  return header.starts_with(fmt::format("bytes {}-", first)) &&
         header.ends_with(fmt::format("/{}", total));
}

}  // namespace

HubSource::HubSource(HubOptions options, Clock& clock)
    : options_(std::move(options)),
      clock_(clock),
      origin_(origin_of(options_.endpoint).value_or("")) {}

Result<std::unique_ptr<HubSource>> HubSource::from_environment(const RetryPolicy& retry) {
  HubOptions options = GLM_TRY(hub_options_from_environment());
  options.retry = retry;
  return std::make_unique<HubSource>(std::move(options), system_clock());
}

bool HubSource::is_hub(const std::string& url) const {
  const Result<std::string> origin = origin_of(url);
  return origin.ok() && *origin == origin_;
}

std::optional<std::chrono::seconds> HubSource::asked(const HttpResponse& response) const {
  return asked_wait(response.header("retry-after"), response.header("ratelimit"), clock_.wall());
}

Result<HttpResponse> HubSource::send(HttpRequest request, const Http::HeadCheck& check,
                                     std::stop_token stop) const {
  if (on_silence_) request.on_silence = [&] { on_silence_(host_of(request.url)); };
  return http_.send(request, check, std::move(stop));
}

// Follows redirects with the token only where it belongs. The answer is the first that is none.
Result<HttpResponse> HubSource::follow(const HubContext& context, HttpRequest request,
                                       const Http::HeadCheck& check, std::stop_token stop) {
  const std::string start = request.url;
  for (int hop = 0; hop < kHopsMax; ++hop) {
    request.bearer_token = is_hub(request.url) ? options_.token : std::string();
    HttpResponse response = GLM_TRY(send(
        request,
        [&](const HttpResponse& head) {
          return head.status >= 300 && head.status < 400 ? Status(Ok{}) : check(head);
        },
        stop));
    if (response.status < 300 || response.status >= 400) return response;
    const std::string next =
        GLM_TRY(resolve_url(request.url, response.header("location")));
    if (request.url.starts_with("https://") && !next.starts_with("https://")) {
      return make_error(Errc::corrupt, "GET {}: redirected from https to http; refused",
                        redact_url(start));
    }
    request.url = next;
  }
  return make_error(Errc::corrupt, "GET {}: more than {} redirects", redact_url(start), kHopsMax)
      .with(context.repository);
}

Result<Json> HubSource::get_json(const HubContext& context, const std::string& url,
                                 std::string& next_page, std::stop_token stop) {
  Retry retry(options_.retry, clock_, on_wait_);
  const std::string what = "GET " + redact_url(url);
  while (true) {
    HttpRequest request;
    request.url = url;
    Result<HttpResponse> response =
        follow(context, request, [](const HttpResponse&) { return Ok{}; }, stop);
    std::optional<std::chrono::seconds> wait;
    Error error{Errc::internal, ""};
    if (response.ok() && response->status >= 200 && response->status < 300) {
      Json json = Json::parse(response->body, nullptr, false);
      if (json.is_discarded()) {
        const std::string type = response->header("content-type");
        return make_error(Errc::corrupt,
                          "{}: the answer is no JSON (its Content-Type is {}); a proxy or a login "
                          "page is in between, or HF_ENDPOINT, {}, is no hub",
                          what, type.empty() ? "missing" : type, redact_url(options_.endpoint));
      }
      next_page = next_link(response->header("link"));
      return json;
    }
    if (response.ok()) {
      wait = asked(*response);
      error = hub_error(context, what, *response);
    } else {
      error = response.error();
    }
    GLM_TRY(retry.again(error, wait, stop));
  }
}

void HubSource::on_wait(std::function<void(const std::string& why)> tell) {
  on_wait_ = std::move(tell);
}

void HubSource::on_silence(std::function<void(const std::string& host)> tell) {
  on_silence_ = std::move(tell);
}

Result<Snapshot> HubSource::resolve(const std::string& repository, const std::string& revision,
                                    std::stop_token stop) {
  if (options_.offline) {
    return make_error(Errc::unavailable,
                      "HF_HUB_OFFLINE is set, so {} cannot be looked up; unset it to pull (a daemon "
                      "keeps what it was started with: glm stop --all)",
                      repository);
  }
  HubContext context{options_.endpoint, repository, revision, !options_.token.empty()};
  std::string ignored;
  const std::string info_url = fmt::format("{}/api/models/{}/revision/{}", options_.endpoint,
                                           encode_path(repository), percent_encode(revision));
  const Json info = GLM_TRY(get_json(context, info_url, ignored, stop));
  Snapshot snapshot;
  if (info.is_object()) {
    snapshot.repository = string_of(info, "id");
    snapshot.commit = string_of(info, "sha");
  }
  const bool same_name =
      std::count(snapshot.repository.begin(), snapshot.repository.end(), '/') == 1 &&
      check_path(snapshot.repository).ok();
  if (!same_name || !is_hex(snapshot.commit, 40)) {
    return make_error(Errc::corrupt, "GET {}: the answer names no repository and commit",
                      redact_url(info_url));
  }
  std::string page = fmt::format("{}/api/models/{}/tree/{}?recursive=True&expand=False",
                                 options_.endpoint, encode_path(snapshot.repository),
                                 snapshot.commit);
  std::map<std::string, bool> seen_pages;
  for (int count = 0; !page.empty(); ++count) {
    if (count >= kPagesMax || !seen_pages.emplace(page, true).second) {
      return make_error(Errc::corrupt, "{}: the hub's listing does not end", repository);
    }
    std::string next;
    const Json entries = GLM_TRY(get_json(context, page, next, stop));
    if (!entries.is_array()) {
      return make_error(Errc::corrupt, "GET {}: the answer is no listing", redact_url(page));
    }
    for (const Json& entry : entries) {
      if (!entry.is_object() || string_of(entry, "type") != "file") continue;
      snapshot.files.push_back(GLM_TRY(parse_entry(entry)));
    }
    if (!next.empty()) next = GLM_TRY(resolve_url(page, next));
    if (!next.empty() && !is_hub(next)) {
      return make_error(Errc::corrupt, "{}: the hub's listing continues on another host; refused",
                        repository);
    }
    page = next;
  }
  return snapshot;
}

// A stretch of a file on its way, which several connections may have to bring.
struct HubSource::Reading {
  const Snapshot& snapshot;
  const RemoteFile& file;
  std::uint64_t position;
  const std::uint64_t end;
  const ByteSink& sink;
  std::optional<std::chrono::seconds> asked;
  bool expired = false;  // the signed URL is used up
};

// Where the bytes are: the hub's own URL for small files, a signed one elsewhere for large ones.
Result<std::string> HubSource::locate(const HubContext& context, Reading& reading,
                                      std::stop_token stop) {
  const Snapshot& snapshot = reading.snapshot;
  const RemoteFile& file = reading.file;
  {
    MutexLock lock(mutex_);
    const auto known = locations_.find(file.path);
    if (known != locations_.end()) return known->second;
  }
  std::string url = fmt::format("{}/{}/resolve/{}/{}", options_.endpoint,
                                encode_path(snapshot.repository), snapshot.commit,
                                encode_path(file.path));
  const std::string what = "GET " + redact_url(url);
  bool commit_seen = false;
  for (int hop = 0; hop < kHopsMax; ++hop) {
    HttpRequest request;
    request.method = HttpRequest::Method::head;
    request.url = url;
    request.bearer_token = options_.token;
    const HttpResponse response = GLM_TRY(send(
        request, [](const HttpResponse&) { return Ok{}; }, stop));
    if (const std::string commit = response.header("x-repo-commit"); !commit.empty()) {
      if (commit != snapshot.commit) {
        return make_error(Errc::corrupt, "{}: the answer is for commit {}, asked was {}", what,
                          printable(commit.substr(0, 40)), snapshot.commit);
      }
      commit_seen = true;
    }
    const bool redirect = response.status >= 300 && response.status < 400;
    if (!redirect && (response.status < 200 || response.status >= 300)) {
      reading.asked = asked(response);
      return hub_error(context, what, response);
    }
    if (redirect) {
      const std::string next = GLM_TRY(resolve_url(url, response.header("location")));
      if (url.starts_with("https://") && !next.starts_with("https://")) {
        return make_error(Errc::corrupt, "{}: redirected from https to http; refused", what);
      }
      url = next;
      if (is_hub(url)) continue;
    }
    if (!commit_seen) {
      return make_error(Errc::corrupt,
                        "{}: the answer does not come from the hub (no X-Repo-Commit); is a proxy "
                        "or a login page in between?",
                        what);
    }
    MutexLock lock(mutex_);
    locations_[file.path] = url;
    return url;
  }
  return make_error(Errc::corrupt, "{}: more than {} redirects", what, kHopsMax);
}

Status HubSource::read_once(const HubContext& context, Reading& reading, std::stop_token stop) {
  const RemoteFile& file = reading.file;
  HttpRequest request;
  request.url = GLM_TRY(locate(context, reading, stop));
  const std::string what = "GET " + redact_url(request.url);
  const bool on_hub = is_hub(request.url);
  const std::uint64_t first = reading.position;
  request.range = HttpRequest::Range{first, reading.end};
  std::uint64_t to_skip = 0;
  bool whole = false;      // the server ignores ranges and sends everything
  bool delivered = false;  // all that was asked for
  request.sink = [&](std::span<const std::byte> bytes) -> Status {
    const std::uint64_t skip = std::min<std::uint64_t>(to_skip, bytes.size());
    to_skip -= skip;
    bytes = bytes.subspan(skip);
    const std::uint64_t left = reading.end - reading.position;
    if (bytes.size() > left && !whole) {
      return make_error(Errc::corrupt, "{}: more bytes came than were asked for", what);
    }
    bytes = bytes.first(std::min<std::uint64_t>(left, bytes.size()));
    if (!bytes.empty()) GLM_TRY(reading.sink(bytes));
    reading.position += bytes.size();
    if (reading.position == reading.end && whole) {
      delivered = true;  // the rest of the file is somebody else's stretch
      return make_error(Errc::cancelled, "enough");
    }
    return Ok{};
  };
  const auto check = [&](const HttpResponse& head) -> Status {
    if (head.status == 206) {
      if (is_range(head.header("content-range"), first, file.size_bytes)) return Ok{};
      return make_error(Errc::corrupt, "{}: asked for bytes from {} of {}, got {}", what, first,
                        file.size_bytes, printable(head.header("content-range")));
    }
    if (head.status == 200) {
      whole = true;
      to_skip = first;
    }
    return Ok{};
  };
  if (on_hub) request.bearer_token = options_.token;
  Result<HttpResponse> response = send(request, check, stop);
  if (delivered) return Ok{};
  if (!response.ok()) return std::move(response).error();
  const long status = response->status;
  if (status >= 200 && status < 300) {
    if (reading.position == reading.end) return Ok{};
    return make_error(Errc::unavailable, "{}: the body ended after {} of {} bytes", what,
                      reading.position, reading.end);
  }
  {
    MutexLock lock(mutex_);
    locations_.erase(file.path);
  }
  reading.asked = asked(*response);
  if (status >= 300 && status < 400) reading.expired = true;  // moved on: look it up again
  if (!on_hub && (status == 400 || status == 401 || status == 403)) reading.expired = true;
  if (reading.expired) {
    return make_error(Errc::unavailable, "{}: the signed address is not accepted ({})", what,
                      status);
  }
  return hub_error(context, what, *response);
}

Status HubSource::read(const Snapshot& snapshot, const RemoteFile& file, std::uint64_t first,
                       std::uint64_t end, const ByteSink& sink, std::stop_token stop) {
  const HubContext context{options_.endpoint, snapshot.repository, snapshot.commit,
                           !options_.token.empty()};
  Reading reading{snapshot, file, first, end, sink, std::nullopt, false};
  Retry retry(options_.retry, clock_, on_wait_);
  int fresh_addresses = 0;
  while (reading.position < end) {
    const std::uint64_t before = reading.position;
    reading.expired = false;
    reading.asked.reset();
    Status done = read_once(context, reading, stop);
    if (done.ok()) continue;
    if (reading.position > before) {
      retry.reset();
      fresh_addresses = 0;
    }
    // A used-up address is replaced at once; it is no failure of the network.
    if (reading.expired && ++fresh_addresses < kAddressesMax) continue;
    GLM_TRY(retry.again(done.error(), reading.asked, stop));
  }
  return Ok{};
}

}  // namespace glm::registry
